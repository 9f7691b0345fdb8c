"""Alarms: which members are out of space or hold data that differs. Source: etcd server v3.7.1, v3alarm.

Raised and lowered by log entries, so every member has the same. Kept in the bucket `alarm`: the key is the
AlarmMember message itself, the value is empty.
"""

from __future__ import annotations

from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.reference import backend as buckets
from gauntlet.reference.backend import Backend


class Alarms:
    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._active: dict[tuple[int, int], pb.AlarmMember] = {}
        self.recover(backend)

    def recover(self, backend: Backend) -> None:
        """Reads the alarms again from `backend`."""
        self._backend = backend
        self._active = {}
        for key, _ in backend.range(buckets.ALARM, b"", b""):
            member = pb.AlarmMember.FromString(key)
            self._active[member.alarm, member.memberID] = member

    def activate(self, member_id: int, alarm: int) -> pb.AlarmMember:
        """Raises the alarm; one that is up already stays as it is."""
        member = self._active.get((alarm, member_id))
        if member is None:
            member = pb.AlarmMember(memberID=member_id, alarm=alarm)
            self._active[alarm, member_id] = member
            self._backend.put(buckets.ALARM, member.SerializeToString(), b"")
        return member

    def deactivate(self, member_id: int, alarm: int) -> pb.AlarmMember | None:
        """Lowers the alarm; None when it was not up."""
        member = self._active.pop((alarm, member_id), None)
        if member is not None:
            self._backend.delete(buckets.ALARM, member.SerializeToString())
        return member

    def get(self, alarm: int = pb.NONE) -> list[pb.AlarmMember]:
        """The alarms of one type that are up, or of all types for NONE, by type and member."""
        return [self._active[key] for key in sorted(self._active) if alarm in (pb.NONE, key[0])]

    def active(self, alarm: int) -> bool:
        return bool(self._active) and any(kind == alarm for kind, _ in self._active)
