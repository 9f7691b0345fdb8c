"""Small contradictions: never in a valid history, and whatever is found makes the history invalid."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from gauntlet.checkers.etcd import calls as c
from gauntlet.checkers.etcd import decide
from gauntlet.checkers.etcd.check import check_etcd
from gauntlet.checkers.etcd.clash import clash
from gauntlet.checkers.etcd.decide import considered
from gauntlet.checkers.etcd.proof import recheck
from gauntlet.checkers.records import Run
from porcupine.history import History, Operation
from porcupine.search import Verdict
from porcupine.verify import CertificateError


def seen(revision: int, value: bytes = b"1", create: int = 2, mod: int = 2, version: int = 1) -> c.Answer:
    return c.RangeAnswer(revision, (c.KV(b"a", value, create, mod, version, 0),), False, 1)


PUT = (c.Put(b"a", b"1"), c.PutAnswer(2))
GET = c.Range(b"a")
SWAP = c.Txn((c.Compare(b"a", "mod", "=", 2),), (c.Put(b"a", b"3"),), (GET,))
SWAPPED = c.TxnAnswer(4, True, (c.PutAnswer(None),))


@pytest.mark.parametrize(
    ("pairs", "named"),
    [
        ([PUT, (GET, seen(5, mod=7))], [1]),
        ([PUT, (GET, seen(5, create=3, mod=2))], [1]),
        ([PUT, (c.Put(b"a", b"2"), c.PutAnswer(3)), (GET, seen(3))], [1, 2]),
        ([PUT, (c.Delete(b"a"), c.DeleteAnswer(3, 1)), (GET, seen(4))], [1, 2]),
        ([PUT, (GET, seen(2, value=b"2"))], [0, 1]),
        ([(c.Put(b"b", b"1"), c.PutAnswer(2)), (GET, seen(2))], [0, 1]),
        ([(GET, seen(3)), (GET, seen(3, version=2))], [0, 1]),
        ([(GET, seen(3)), (GET, seen(4, value=b"2"))], [0, 1]),
        ([(GET, c.RangeAnswer(3, (), False, 0)), (GET, seen(4))], [0, 1]),
        ([PUT, (c.Put(b"a", b"2"), c.PutAnswer(3)), (SWAP, SWAPPED)], [1, 2]),
        ([(GET, seen(2)), (c.Put(b"a", b"2"), c.PutAnswer(3)), (GET, seen(4, mod=4))], [0, 1, 2]),
        ([(GET, seen(2)), (GET, seen(3, mod=3, version=4))], [0, 1]),
    ],
    ids=[
        "future",
        "created late",
        "lost",
        "deleted",
        "value",
        "other key",
        "version",
        "two",
        "gap",
        "swap",
        "not counted",
        "counted twice",
    ],
)
def test_every_rule_finds_its_contradiction(pairs: Any, named: list[int], sequential: Any) -> None:
    history = sequential(pairs)
    found = clash(history)
    assert found is not None
    assert [each.id for each in found.operations] == named
    assert clash(found.operations) is not None, "they fail by themselves"
    assert clash(each for each in history if each is not found.operations[-1]) is None


@pytest.mark.parametrize("seed", range(6))
def test_it_accuses_only_what_is_invalid(seed: int, histories: Any, mutated: Any) -> None:
    rng = random.Random(f"{seed}:clash")
    valid = histories.generate(seed, 150, 5, 4, histories.Mix(unknown=0.03, lease=0.03, serializable=0.05))
    assert clash(valid) is None
    found = 0
    for _ in range(30):
        bent = list(valid)
        at = rng.randrange(len(bent))
        answer = mutated(rng, bent[at].response) if bent[at].is_ok else None
        if answer is None:
            continue
        bent[at] = replace(bent[at], response=answer)
        if clash(bent) is not None:
            found += 1
            assert decide(bent).verdict is not Verdict.VALID, f"seed {seed}: {bent[at]}"
    assert found


def sections(operations: list[Operation]) -> tuple[Verdict, list[dict[str, Any]]]:
    result = check_etcd(Run(History(operations)))
    assert result.proof is not None
    return result.verdict, list(result.proof())


@pytest.mark.parametrize("seed", range(3))
def test_orders_with_leases_that_ran_out_are_judged_again(seed: int, histories: Any) -> None:
    mix = histories.Mix(unknown=0.02, lease=0.08, expire=0.5, serializable=0.03)
    operations = histories.generate(seed, 400, 5, 5, mix)
    verdict, lines = sections(operations)
    assert verdict is Verdict.VALID
    order = [number for line in lines[1:] for number in line["order"]]
    assert any(isinstance(each.call, c.Expire) for each in considered(operations)), "there are leases"
    assert any(number < 0 for number in order), f"seed {seed}: one of them ran out"
    assert "accepts the order" in recheck(lines[0], lines[1:], operations)
    rng = random.Random(f"{seed}:bent")
    refused = 0
    for _ in range(20):
        bent = list(order)
        one, other = rng.randrange(len(bent)), rng.randrange(len(bent))
        bent[one], bent[other] = bent[other], bent[one]
        try:
            recheck(lines[0], [{"order": bent}], operations)
        except CertificateError:
            refused += 1
    assert refused > 10


def test_a_contradiction_of_all_operations_is_judged_by_the_search(sequential: Any) -> None:
    """Nobody is left over to be taken as of unknown outcome, and no two answers contradict each other."""
    operations = sequential([(c.Put(b"a", b"2", 7), c.PutAnswer(2)), (c.Revoke(7), c.LEASE_NOT_FOUND)])
    verdict, lines = sections(operations)
    assert verdict is Verdict.INVALID
    assert lines[0]["by"] == "search"
    assert recheck(lines[0], lines[1:], operations)


@pytest.mark.parametrize("by", ["clash", "search", "whole"])
def test_contradictions_are_judged_again(by: str, sequential: Any) -> None:
    absent, there = c.RangeAnswer(3, (), False, 0), seen(3, value=b"2", mod=3, version=2)
    if by == "clash":
        pairs = [PUT, (c.Put(b"a", b"2"), c.PutAnswer(3)), (GET, seen(3))]
    else:  # absent, though nobody deleted it: no two answers alone show that
        pairs = [PUT, (c.Put(b"a", b"2"), c.PutAnswer(3)), (GET, there), (GET, absent)]
        if by == "whole":
            pairs[2:3] = [(c.Put(b"b", b"%d" % n), c.PutAnswer(n)) for n in range(4, 50)]
            pairs[-1] = (GET, c.RangeAnswer(49, (), False, 0))
        else:
            pairs[2:3] = []
    operations = sequential(pairs)
    verdict, lines = sections(operations)
    assert verdict is Verdict.INVALID
    assert lines[0]["by"] == by, lines
    assert recheck(lines[0], lines[1:], operations)
    innocent = sequential(pairs[:-1])
    with pytest.raises(CertificateError):
        recheck(lines[0], lines[1:], innocent)
    with pytest.raises(CertificateError):
        recheck({**lines[0], "by": "clash"}, [{"operations": [0]}], operations)
