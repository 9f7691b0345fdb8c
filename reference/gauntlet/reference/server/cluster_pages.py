"""What members ask each other about the cluster over the peer port: promoting a learner, and whether a
downgrade is under way.

Rules (etcd 3.7.1): a follower posts to /members/promote/{id in decimal} at the leader, with the caller's
token in `Authorization`, again and again while there is a leader to ask, until it is promoted, refused for
good, or the request times out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.wire.http1_client import HttpResponse
from gauntlet.api.wire.http_types import HttpRequest, HttpResponder
from gauntlet.api.wire.types import Context
from gauntlet.reference.membership import Member, MembershipError, decode_member, encode_member
from gauntlet.reference.node import Node
from gauntlet.reference.server.peers.identity import format_id
from gauntlet.reference.server.peers.routes import Routes, error, json_error
from gauntlet.reference.services.cluster import ClusterService
from gauntlet.reference.services.guard import TOKEN

PROMOTE, DOWNGRADE_ENABLED = "/members/promote/", "/downgrade/enabled"

# Status and text of what is refused for good; the text is what the other side looks for.
_REFUSALS: dict[RpcError, tuple[int, str]] = {
    errors.MEMBER_NOT_FOUND: (404, "membership: ID not found"),
    errors.MEMBER_NOT_LEARNER: (412, "membership: can only promote a learner member"),
    errors.LEARNER_NOT_READY: (412, errors.LEARNER_NOT_READY.message),
}


def read_promoted(answer: HttpResponse) -> Sequence[Member] | RpcError | None:
    """What an answer to a promotion says; None where it is worth another attempt."""
    if answer.status == 200:
        try:
            return [decode_member(json.dumps(each).encode())[0] for each in json.loads(answer.body)]
        except (ValueError, TypeError, MembershipError):
            return None
    if answer.status == 404:
        return errors.MEMBER_NOT_FOUND
    if answer.status == 412:
        text = answer.body.decode("utf-8", "replace")
        for refusal in (errors.LEARNER_NOT_READY, errors.MEMBER_NOT_LEARNER):
            if _REFUSALS[refusal][1] in text:
                return refusal
    return None


def serve_cluster(routes: Routes, node: Node, cluster: ClusterService) -> None:
    """Answers the other members' questions about the cluster."""
    headers = [("X-Etcd-Cluster-ID", format_id(node.config.cluster_id))]

    def promote(request: HttpRequest, responder: HttpResponder) -> None:
        text = request.path.removeprefix(PROMOTE)
        if not (text.isascii() and text.isdigit() and int(text) < 1 << 64):
            error(responder, 404, f"member {text} not found in cluster", headers)
            return
        token = request.headers.get("authorization")
        context = Context({} if token is None else {TOKEN: token})
        responder.on_close(context.cancel)

        def promoted(result: Sequence[Member] | RpcError) -> None:
            if not isinstance(result, RpcError):
                body = b"[" + b",".join(encode_member(member) for member in result) + b"]\n"
                responder.send(200, body, "application/json", headers)
            elif result in _REFUSALS:
                status, reason = _REFUSALS[result]
                error(responder, status, reason, headers)
            else:
                json_error(responder, 500, "Internal Server Error", headers)

        cluster.promote(context, int(text), promoted)

    def downgrade_enabled(request: HttpRequest, responder: HttpResponder) -> None:
        def release(problem: RpcError | None) -> None:
            if problem is not None:
                error(responder, 500, f"failed linearized read: {problem.message}", headers)
            else:
                text = b"true" if node.machine.cluster.downgrade.enabled else b"false"
                responder.send(200, text, "text/plain", headers)

        node.read(release)

    routes.add("POST", PROMOTE, promote)
    routes.add("GET", DOWNGRADE_ENABLED, downgrade_enabled)
