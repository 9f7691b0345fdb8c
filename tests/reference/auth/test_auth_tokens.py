from __future__ import annotations

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from gauntlet.api.errors import RpcError
from gauntlet.reference.auth.signed import VERIFY_ONLY, SignedTokens
from gauntlet.reference.auth.tokens import AuthInfo, SimpleTokens


def made(ttl: float = 300.0) -> SimpleTokens:
    tokens = SimpleTokens(ttl)
    tokens.enable()
    return tokens


def test_a_token_names_its_user_until_it_has_not_been_used_for_its_time() -> None:
    tokens = made(10)
    token = tokens.assign("alice", 3, "abc", 17, 0.0)
    assert token == "abc.17"
    assert tokens.info(token, 3, 9.0) == AuthInfo("alice", 3)
    # The revision is the present one, whatever it was when the token was made.
    assert tokens.info(token, 5, 18.0) == AuthInfo("alice", 5)
    assert tokens.info(token, 5, 28.5) is None
    assert len(tokens) == 0


def test_using_one_token_keeps_no_other_alive() -> None:
    tokens = made(10)
    first, second = tokens.assign("a", 1, "p", 1, 0.0), tokens.assign("b", 1, "q", 2, 1.0)
    assert tokens.info(first, 1, 9.0) is not None
    assert tokens.info(second, 1, 12.0) is None
    assert tokens.info(first, 1, 12.0) is not None


def test_what_ends_tokens_early() -> None:
    tokens = made()
    alice, bob = tokens.assign("alice", 1, "p", 1, 0.0), tokens.assign("bob", 1, "p", 2, 0.0)
    tokens.invalidate_user("alice")
    assert tokens.info(alice, 1, 0.0) is None
    assert tokens.info(bob, 1, 0.0) is not None
    tokens.disable()
    assert tokens.info(bob, 1, 0.0) is None
    tokens.enable()
    assert tokens.info(bob, 1, 0.0) is None


def test_tokens_made_while_switched_off_are_not_kept() -> None:
    tokens = SimpleTokens()
    assert tokens.assign("root", 1, "p", 4, 0.0) == "p.4"
    assert len(tokens) == 0


@pytest.mark.parametrize(
    ("token", "index"),
    [
        ("abc.12", 13),
        (".0", 1),
        ("abc", None),
        ("a.b", None),
        ("a.1.2", None),
        ("a.-1", None),
        ("a.+1", None),
        ("", None),
        ("a.18446744073709551615", 18446744073709551616),
        ("a.18446744073709551616", None),
        ("a." + "9" * 5000, None),
    ],
)
def test_what_looks_like_a_token(token: str, index: int | None) -> None:
    assert SimpleTokens().needs_index(token) == index


class Wall:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_signed_tokens_end_by_the_clock() -> None:
    wall = Wall()
    key = ec.generate_private_key(ec.SECP256R1())
    tokens = SignedTokens("ES256", key.public_key(), key, 60, wall)
    token = tokens.assign("alice", 7, "", 0, 0.0)
    assert tokens.info(token, 99, 0.0) == AuthInfo("alice", 7)
    wall.now = 1060.0
    assert tokens.info(token, 99, 0.0) is None


def test_without_a_signing_key_none_are_made() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    tokens = SignedTokens("ES256", key.public_key(), None, 60, Wall())
    with pytest.raises(RpcError) as failure:
        tokens.assign("alice", 7, "", 0, 0.0)
    assert failure.value == VERIFY_ONLY
    assert tokens.info(jwt.encode({"username": "a", "revision": 1}, key, "ES256"), 1, 0.0) == AuthInfo("a", 1)


def test_a_token_signed_in_another_way_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    tokens = SignedTokens("ES256", key.public_key(), key, 60, Wall())
    other = jwt.encode({"username": "a", "revision": 1}, "k" * 64, "HS256")
    unsigned = jwt.encode({"username": "a", "revision": 1}, "", "none")
    assert tokens.info(other, 1, 0.0) is None
    assert tokens.info(unsigned, 1, 0.0) is None
