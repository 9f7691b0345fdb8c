"""Who is calling, and what follows from it: the door between a call and the node while authentication is on.

Rules (etcd 3.7.1, AuthInfoFromCtx and its callers):

- A caller is known by a token in the metadata (`token`, else `authorization`, with or without `Bearer `), or
  where none is given and client certificates are checked, by the common name of the certificate. A call that
  came through the JSON gateway shows the gateway's certificate, which says nothing of the caller.
- A simple token names a log index; it is judged once this member has applied that far.
- A proposal carries the caller's name and auth revision; it is judged when it is applied. A local read is
  judged here, right before it is answered.
- While authentication is off nobody is asked: `store.enabled` is all that a call pays for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.wire.types import Context, Reply, ServerStream, StreamHandler, StreamReceiver, UnaryHandler
from gauntlet.reference.apply import Applied
from gauntlet.reference.auth.tokens import NOBODY, AuthInfo
from gauntlet.reference.node import Answer, Node

TOKEN, AUTHORIZATION, GATEWAY = "token", "authorization", "grpcgateway-accept"
_BEARER = "Bearer "

Known = Callable[[AuthInfo | None], None]
Refuse = Callable[[RpcError], None]
Check = Callable[[AuthInfo | None], RpcError | None]


class Guard:
    """`certificates`: whether clients' certificates are checked, so that their names count."""

    def __init__(self, node: Node, certificates: bool = False) -> None:
        self.store = node.machine.auth
        self.permissions = node.machine.permissions
        self._node = node
        self._certificates = certificates

    def identify(self, context: Context, known: Known, refuse: Refuse) -> None:
        """Calls `known` with the caller, None for one who shows nothing, or `refuse`."""
        store = self.store
        if not store.enabled:
            known(None)
            return
        token = context.metadata.get(TOKEN)
        if token is None:
            token = context.metadata.get(AUTHORIZATION)
        if token is None:
            known(self._named_by_certificate(context))
            return
        shown = token.removeprefix(_BEARER)
        index = store.tokens.needs_index(shown)
        if index is None:
            refuse(errors.INVALID_AUTH_TOKEN)
            return

        def judge(_: RpcError | None = None) -> None:
            info = store.tokens.info(shown, store.revision, self._node.now())
            if info is None:
                refuse(errors.INVALID_AUTH_TOKEN)
            else:
                known(info)

        if self._node.machine.applied_index >= index:
            judge()
        else:
            context.on_cancel(self._node.when_index_applied(index, judge))

    def propose(self, context: Context, request: pb.InternalRaftRequest, answer: Answer) -> None:
        """`Node.propose` in the caller's name."""
        if not self.store.enabled:
            self._node.propose(request, answer)
            return

        def known(info: AuthInfo | None) -> None:
            if info is not None:
                request.header.username = info.username
                request.header.auth_revision = info.revision
            self._node.propose(request, answer)

        self.identify(context, known, lambda error: answer(Applied(error=error)))

    def allow(self, context: Context, check: Check, serve: Callable[[], None], refuse: Refuse) -> None:
        """Calls `serve` if `check` has nothing against the caller."""
        if not self.store.enabled:
            serve()
            return

        def known(info: AuthInfo | None) -> None:
            # Authentication may have been switched off while the token was waited for.
            refusal = check(info) if self.store.enabled else None
            if refusal is not None:
                refuse(refusal)
            else:
                serve()

        self.identify(context, known, refuse)

    def read(
        self,
        context: Context,
        check: Callable[[AuthInfo], RpcError | None],
        serve: Callable[[], None],
        refuse: Refuse,
    ) -> None:
        """`allow` for a read of the store: the caller's permissions must be those of right now."""

        def current(info: AuthInfo | None) -> RpcError | None:
            caller = info or NOBODY
            refusal = check(caller)
            if refusal is None and caller.revision not in (0, self.store.revision):
                refusal = errors.AUTH_OLD_REVISION
            return refusal

        self.allow(context, current, serve, refuse)

    def require_user(self, context: Context, serve: Callable[[], None], refuse: Refuse) -> None:
        """Calls `serve` if the caller is anybody at all."""
        self.allow(context, lambda info: errors.USER_EMPTY if info is None else None, serve, refuse)

    def require_root(self, context: Context, serve: Callable[[], None], refuse: Refuse) -> None:
        """Calls `serve` if the caller has the role root."""
        self.allow(context, self.store.refuses_admin, serve, refuse)

    # Handlers behind the door.

    def for_root(self, handler: UnaryHandler) -> UnaryHandler:
        return self._behind(self.require_root, handler)

    def for_users(self, handler: UnaryHandler) -> UnaryHandler:
        return self._behind(self.require_user, handler)

    def stream_for_root(self, handler: StreamHandler) -> StreamHandler:
        """Only for streams of one request: it is handed on once the caller is known."""

        def guarded(stream: ServerStream) -> StreamReceiver:
            if not self.store.enabled:
                return handler(stream)
            return _GuardedStream(self, stream, handler)

        return guarded

    def _behind(
        self, require: Callable[[Context, Callable[[], None], Refuse], None], handler: UnaryHandler
    ) -> UnaryHandler:
        store = self.store

        def guarded(context: Context, request: Any, reply: Reply) -> None:
            if store.enabled:
                require(context, lambda: answering(handler, context, request, reply), reply)
            else:
                handler(context, request, reply)

        return guarded

    def _named_by_certificate(self, context: Context) -> AuthInfo | None:
        if not self._certificates or GATEWAY in context.metadata:
            return None
        certificate: Any = context.transport_info("peercert")
        if not certificate:
            return None
        names = [value for rdn in certificate.get("subject", ()) for key, value in rdn if key == "commonName"]
        return AuthInfo(names[-1] if names else "", self.store.revision)


class _GuardedStream:
    """A stream of one request whose service is asked only when the caller has been let in."""

    def __init__(self, guard: Guard, stream: ServerStream, handler: StreamHandler) -> None:
        self._guard = guard
        self._stream = stream
        self._handler = handler
        self._inner: StreamReceiver | None = None
        self._over = False

    def on_message(self, message: Any) -> None:
        def serve() -> None:
            if not self._over:
                self._inner = self._handler(self._stream)
                self._inner.on_message(message)

        self._guard.require_root(self._stream.context, serve, self._stream.finish)

    def on_half_close(self) -> None:
        if self._inner is not None:
            self._inner.on_half_close()

    def on_cancel(self) -> None:
        self._over = True
        if self._inner is not None:
            self._inner.on_cancel()


def answering(handler: UnaryHandler, context: Context, request: Any, reply: Reply) -> None:
    """Calls a handler from a callback: an error that it raises is its answer."""
    try:
        handler(context, request, reply)
    except RpcError as error:
        reply(error)
