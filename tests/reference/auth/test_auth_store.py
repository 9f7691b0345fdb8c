from __future__ import annotations

import base64
from typing import Any

import pytest
from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import authpb
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.reference import backend as buckets
from gauntlet.reference.auth.store import AuthStore
from gauntlet.reference.auth.tokens import NOBODY, AuthInfo, SimpleTokens
from gauntlet.reference.backend import MemoryBackend

READ, WRITE = authpb.Permission.READ, authpb.Permission.WRITE
HASH = base64.b64encode(b"$2a$04$hash").decode()


def make() -> AuthStore:
    return AuthStore(MemoryBackend(), SimpleTokens())


def with_root() -> AuthStore:
    store = make()
    store.add_user(pb.AuthUserAddRequest(name="root", hashedPassword=HASH))
    store.grant_role("root", "root")
    store.enable()
    return store


def refused(call: Any, *arguments: Any) -> RpcError:
    with pytest.raises(RpcError) as failure:
        call(*arguments)
    return failure.value


def test_what_is_kept_and_how() -> None:
    backend = MemoryBackend()
    store = AuthStore(backend, SimpleTokens())
    assert backend.get(buckets.AUTH, b"authRevision") == bytes(7) + b"\x01"
    store.add_user(pb.AuthUserAddRequest(name="u", hashedPassword=HASH))
    store.add_role("r")
    store.grant_role("u", "r")
    permission = authpb.Permission(permType=WRITE, key=b"k", range_end=b"l")
    store.grant_permission(pb.AuthRoleGrantPermissionRequest(name="r", perm=permission))
    assert backend.get(buckets.AUTH, b"authRevision") == bytes(7) + b"\x05"
    assert backend.get(buckets.AUTH, b"authEnabled") is None
    # The options are there, though empty: that is how etcd writes a user added without any.
    assert backend.get(buckets.AUTH_USERS, b"u") == b'\n\x01u\x12\x0b$2a$04$hash\x1a\x01r"\x00'
    assert backend.get(buckets.AUTH_ROLES, b"r") == b"\n\x01r\x12\x08\x08\x01\x12\x01k\x1a\x01l"
    assert AuthStore(backend, SimpleTokens()).revision == 5


def test_it_comes_back_from_the_backend() -> None:
    backend = MemoryBackend()
    store = AuthStore(backend, SimpleTokens())
    store.add_user(pb.AuthUserAddRequest(name="root", hashedPassword=HASH))
    store.grant_role("root", "root")
    store.enable()
    again = AuthStore(backend, SimpleTokens())
    assert again.enabled
    assert again.revision == store.revision
    assert again.refuses_admin(AuthInfo("root", 1)) is None
    again.disable()
    assert backend.get(buckets.AUTH, b"authEnabled") == b"\x00"
    assert not AuthStore(backend, SimpleTokens()).enabled


def test_every_change_but_switching_on_raises_the_revision() -> None:
    store = with_root()
    seen = [store.revision]
    store.enable()
    assert store.revision == seen[-1]
    for change in (
        lambda: store.add_role("r"),
        lambda: store.grant_role("root", "r"),
        lambda: store.revoke_role("root", "r"),
        lambda: store.delete_role("r"),
        lambda: store.change_password(pb.AuthUserChangePasswordRequest(name="root", hashedPassword=HASH)),
        lambda: store.disable(),
    ):
        change()
        assert store.revision == seen[-1] + 1
        seen.append(store.revision)


def test_an_old_revision_is_refused_even_to_root() -> None:
    store = with_root()
    root = AuthInfo("root", store.revision)
    assert store.refuses_read(root, b"k", b"") is None
    store.add_role("r")
    assert store.refuses_read(root, b"k", b"") == errors.AUTH_OLD_REVISION
    assert store.refuses_read(NOBODY, b"k", b"") == errors.USER_EMPTY
    assert store.refuses_read(AuthInfo("none", store.revision), b"k", b"") == errors.PERMISSION_DENIED
    # Administration does not look at revisions.
    assert store.refuses_admin(root) is None


def test_deleting_a_role_takes_it_off_everybody() -> None:
    store = with_root()
    store.add_role("r")
    for name in ("a", "b"):
        store.add_user(pb.AuthUserAddRequest(name=name, hashedPassword=HASH))
        store.grant_role(name, "r")
    permission = authpb.Permission(permType=READ, key=b"k")
    store.grant_permission(pb.AuthRoleGrantPermissionRequest(name="r", perm=permission))
    assert store.refuses_read(AuthInfo("a", store.revision), b"k", b"") is None
    store.delete_role("r")
    assert store.refuses_read(AuthInfo("a", store.revision), b"k", b"") == errors.PERMISSION_DENIED
    assert not store.has_role("b", "r")


def test_root_is_protected_while_it_matters() -> None:
    store = with_root()
    assert refused(store.delete_user, "root") == errors.INVALID_AUTH_MGMT
    assert refused(store.delete_role, "root") == errors.INVALID_AUTH_MGMT
    assert refused(store.revoke_role, "root", "root") == errors.INVALID_AUTH_MGMT
    store.disable()
    store.revoke_role("root", "root")
    assert refused(store.enable) == errors.ROOT_ROLE_NOT_EXIST
    store.delete_user("root")
    assert refused(store.enable) == errors.ROOT_USER_NOT_EXIST


def test_who_may_authenticate() -> None:
    store = with_root()
    none = pb.AuthUserAddRequest(name="none", options=authpb.UserAddOptions(no_password=True))
    store.add_user(none)
    assert store.authenticate("root", "abc", 5, 0.0) == "abc.5"
    assert refused(store.authenticate, "none", "abc", 5, 0.0) == errors.AUTH_FAILED
    assert refused(store.authenticate, "nobody", "abc", 5, 0.0) == errors.AUTH_FAILED
    assert store.password_hash("root") == b"$2a$04$hash"
    assert "no password user" in refused(store.password_hash, "none").message
    store.disable()
    assert refused(store.authenticate, "root", "abc", 5, 0.0) == errors.AUTH_NOT_ENABLED
