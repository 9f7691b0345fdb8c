#!/usr/bin/env python3
"""Mutant: the member m2 loses an apply now and then. Every PERIOD-th put is answered there, but not done."""

from __future__ import annotations

import itertools
import sys

from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.reference.apply import Applied, StateMachine
from gauntlet.reference.server.main import main

PERIOD = 25

apply_put = StateMachine._put
counter = itertools.count(1)


def put(self: StateMachine, request: pb.PutRequest, now: float) -> Applied:
    if request.key and next(counter) % PERIOD == 0:
        response = pb.PutResponse()
        response.header.revision = self.store.current_revision + 1
        return Applied(response)
    return apply_put(self, request, now)


if any(argument in ("--name=m2", "m2") for argument in sys.argv):
    StateMachine._put = put

if __name__ == "__main__":
    sys.exit(main())
