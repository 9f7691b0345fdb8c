"""/metrics. The front imports this, and with it the library, for the first scrape."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator

from gauntlet.api.wire.http_types import HttpRequest, HttpResponder
from gauntlet.reference.server.metrics.families import gauge, text
from gauntlet.reference.server.metrics.tally import Tally
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"


class DescriptorCollector(Collector):
    """Open files of the process, where the system says it."""

    def collect(self) -> Iterator[Metric]:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        yield gauge("os_fd_limit", "How many files may be open.", limit)
        try:
            used = len(os.listdir("/proc/self/fd"))
        except OSError:
            return
        yield gauge("os_fd_used", "How many files are open.", used)


class MetricsPage:
    """The registry of one member; nothing is shared with others in the process."""

    def __init__(self, member: Collector, tally: Tally) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._tally = tally
        self.registry.register(member)
        self.registry.register(DescriptorCollector())
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def __call__(self, request: HttpRequest, responder: HttpResponder) -> None:
        body = text(self.registry.collect())
        self._tally.scrapes["200"] += 1
        responder.send(200, body, TEXT_FORMAT)
