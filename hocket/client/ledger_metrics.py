"""Prometheus metrics of the cost events that a service records.

Only servers import this module: prometheus_client comes with the `server` extra, and the clients work without it.
"""

from __future__ import annotations

from collections.abc import Iterable

from hocket.ratelimit.v1.ledger_pb2 import CostEvent, CostKind
from prometheus_client import Counter, Gauge

_PENDING = Gauge(
    "hocket_cost_events_pending", "Cost events of this process that are not in the ledger yet, by kind.", ["kind"]
)
_RECORDED = Counter(
    "hocket_cost_events_recorded", "Cost events of this process that the ledger has, by kind.", ["kind"]
)
_LOST = Counter("hocket_cost_events_lost", "Cost events given up and logged whole, by kind.", ["kind"])


_KINDS: dict[int, str] = {number: name.removeprefix("COST_KIND_").lower() for name, number in CostKind.items()}


def _kind(number: int) -> str:
    # The journal may hold a kind that a newer version wrote.
    return _KINDS.get(number, "unspecified")


class CostEventMetrics:
    """`CostObserver` that counts in Prometheus; every kind has a series from the start, so that alerts see a 0."""

    def __init__(self) -> None:
        """Expose the metrics."""
        for kind in _KINDS.values():
            for metric in (_PENDING, _RECORDED, _LOST):
                metric.labels(kind)

    def queued(self, events: Iterable[CostEvent]) -> None:
        """Count events that the recorder holds from now on."""
        for event in events:
            _PENDING.labels(_kind(event.kind)).inc()

    def recorded(self, events: Iterable[CostEvent]) -> None:
        """Count held events that are durable in the ledger."""
        for event in events:
            _PENDING.labels(_kind(event.kind)).dec()
            _RECORDED.labels(_kind(event.kind)).inc()

    def lost(self, events: Iterable[CostEvent]) -> None:
        """Count held events that were given up."""
        for event in events:
            _PENDING.labels(_kind(event.kind)).dec()
            _LOST.labels(_kind(event.kind)).inc()
