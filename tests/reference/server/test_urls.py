"""Peer URLs that mean the same, and those that do not."""

from __future__ import annotations

import pytest
from gauntlet.reference.server import urls
from gauntlet.reference.server.bootstrap import bootstrap
from gauntlet.reference.server.config import build
from gauntlet.reference.server.flags import UsageError, parse
from gauntlet.reference.server.urls import UrlComparison


class Names:
    """A name service with a clock of its own; `late` names are known after so many seconds."""

    def __init__(self, **late: float) -> None:
        self.now = 0.0
        self.late = late
        self.asked: list[str] = []

    def lookup(self, host: str) -> str:
        self.asked.append(host)
        if host == "nobody.test" or self.now < self.late.get(host.partition(".")[0], 0.0):
            raise OSError(-2, "no such host")
        return {"v6.test": "::1", "two.test": "10.0.0.2"}.get(host, host if host[0].isdigit() else "10.0.0.1")

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def comparison(self) -> UrlComparison:
        return UrlComparison(self.lookup, lambda: self.now, self.sleep)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (["http://a.test:1"], ["http://a.test:1"], True),
        (["http://a.test:1"], ["http://10.0.0.1:1"], True),
        (["http://a.test:1", "http://two.test:2"], ["http://10.0.0.2:2", "http://b.test:1"], True),
        (["http://v6.test:1"], ["http://[0:0::1]:1"], True),
        (["http://[0::1]:1"], ["http://[::1]:1"], True),
        (["unix://a:1"], ["unix://a:1"], True),
        (["http://a.test:1"], ["http://10.0.0.1:2"], False),
        (["http://a.test:1"], ["https://10.0.0.1:1"], False),
        (["http://a.test:1"], ["http://two.test:1"], False),
        (["http://localhost:1"], ["http://10.0.0.1:1"], False),
        (["unix://a:1"], ["http://a.test:1"], False),
        (["http://a.test:1"], ["http://a.test:1", "http://a.test:2"], False),
    ],
)
def test_same(one: list[str], other: list[str], same: bool) -> None:
    comparison = Names().comparison()
    assert comparison.same(one, other) == same
    assert comparison.same(other, one) == same
    assert (comparison.difference(one, other) is None) == same


def test_nothing_is_looked_up_for_equal_texts() -> None:
    names = Names()
    assert names.comparison().same(["http://nobody.test:1"], ["http://nobody.test:1"])
    assert names.asked == []


def test_a_name_may_become_known_a_little_later() -> None:
    names = Names(a=5.0)
    comparison = names.comparison()
    assert comparison.same(["http://a.test:1"], ["http://10.0.0.1:1"])
    assert names.now == 5.0
    assert comparison.same(["http://a.test:1"], ["http://10.0.0.1:1"])
    assert names.asked.count("a.test") == 6


def test_patience_ends() -> None:
    names = Names()
    comparison = names.comparison()
    for _ in range(2):
        reason = comparison.difference(["http://nobody.test:1"], ["http://10.0.0.1:1"])
        assert reason == "lookup nobody.test: no such host"
    assert names.now == urls.PATIENCE


def test_a_founder_whose_flags_name_other_urls(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("data")
    cluster = "m=http://127.0.0.1:1,m=http://127.0.0.1:2"
    flags = ["--name=m", f"--data-dir={folder}", f"--initial-cluster={cluster}"]
    with pytest.raises(UsageError) as caught:
        bootstrap(build(parse([*flags, "--initial-advertise-peer-urls=http://127.0.0.1:1"], {})))
    assert str(caught.value) == (
        "--initial-cluster has m=http://127.0.0.1:2 but missing from "
        "--initial-advertise-peer-urls=http://127.0.0.1:1 (1 URLs are not 2)"
    )
    three = "http://127.0.0.1:1,http://127.0.0.1:2,http://127.0.0.1:3"
    with pytest.raises(UsageError, match=r"127\.0\.0\.1:3 but missing from --initial-cluster="):
        bootstrap(build(parse([*flags, f"--initial-advertise-peer-urls={three}"], {})))
    same = ["--name=m", f"--data-dir={folder}", "--initial-cluster=m=http://[0::1]:1"]
    made = bootstrap(build(parse([*same, "--initial-advertise-peer-urls=http://[::1]:1"], {})))
    made.disk.close()
