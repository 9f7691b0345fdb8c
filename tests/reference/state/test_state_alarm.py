"""Alarms: raised once, lowered once, kept."""

from __future__ import annotations

from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.reference import backend as buckets
from gauntlet.reference.alarm import Alarms
from gauntlet.reference.backend import MemoryBackend


def shown(alarms: list[pb.AlarmMember]) -> list[tuple[int, int]]:
    return [(alarm.memberID, alarm.alarm) for alarm in alarms]


def test_raise_and_lower() -> None:
    backend = MemoryBackend()
    alarms = Alarms(backend)
    assert shown(alarms.get()) == []
    assert not alarms.active(pb.NOSPACE)
    first = alarms.activate(9, pb.NOSPACE)
    assert alarms.activate(9, pb.NOSPACE) is first
    alarms.activate(3, pb.NOSPACE)
    alarms.activate(5, pb.CORRUPT)
    assert shown(alarms.get()) == [(3, pb.NOSPACE), (9, pb.NOSPACE), (5, pb.CORRUPT)]
    assert shown(alarms.get(pb.NOSPACE)) == [(3, pb.NOSPACE), (9, pb.NOSPACE)]
    assert shown(alarms.get(pb.CORRUPT)) == [(5, pb.CORRUPT)]
    assert alarms.active(pb.NOSPACE)

    assert shown(Alarms(backend).get()) == shown(alarms.get())
    assert sorted(backend.range(buckets.ALARM, b"", b"")) == sorted(
        (alarm.SerializeToString(), b"") for alarm in alarms.get()
    )

    lowered = alarms.deactivate(9, pb.NOSPACE)
    assert lowered is first
    assert alarms.deactivate(9, pb.NOSPACE) is None
    assert alarms.deactivate(3, pb.CORRUPT) is None
    assert shown(Alarms(backend).get()) == [(3, pb.NOSPACE), (5, pb.CORRUPT)]


def test_recovery_forgets_what_was_there() -> None:
    alarms = Alarms(MemoryBackend())
    alarms.activate(1, pb.NOSPACE)
    image = MemoryBackend()
    Alarms(image).activate(2, pb.CORRUPT)
    alarms.recover(image)
    assert shown(alarms.get()) == [(2, pb.CORRUPT)]
