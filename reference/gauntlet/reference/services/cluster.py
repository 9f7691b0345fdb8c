"""Cluster: who the members are."""

from __future__ import annotations

from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.wire.types import Context, Reply
from gauntlet.reference.membership import Member
from gauntlet.reference.services.base import Service


def to_message(member: Member) -> pb.Member:
    return pb.Member(
        ID=member.id,
        name=member.name,
        peerURLs=member.peer_urls,
        clientURLs=member.client_urls,
        isLearner=member.is_learner,
    )


class ClusterService(Service):
    def member_list(self, context: Context, request: pb.MemberListRequest, reply: Reply) -> None:
        def answer(error: RpcError | None) -> None:
            if error is not None:
                reply(error)
                return
            members = self.node.machine.cluster.members()
            reply(
                pb.MemberListResponse(
                    header=self.bare_header(), members=[to_message(member) for member in members]
                )
            )

        if request.linearizable:
            self.node.read(answer)
        else:
            answer(None)
