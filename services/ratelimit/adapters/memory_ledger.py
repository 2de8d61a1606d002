"""Ledger in memory, for tests; runs against the same suite as the Postgres ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from services.ratelimit.ledger.cost_events import CostEvent
from services.ratelimit.ledger.cost_sums import CostSum, Period


class MemoryLedger:
    """Implements ports.Ledger in memory; never raises LedgerUnavailable."""

    def __init__(self) -> None:
        """Create an empty ledger."""
        self._events: dict[tuple[str, UUID], CostEvent] = {}

    async def record(self, tenant_id: str, events: Sequence[CostEvent]) -> list[CostEvent]:
        """Record the events whose ids are new to the tenant, and return them."""
        recorded: list[CostEvent] = []
        for event in events:
            if (tenant_id, event.uuid) not in self._events:
                self._events[tenant_id, event.uuid] = event
                recorded.append(event)
        return recorded

    async def sums(self, tenant_id: str, period: Period) -> list[CostSum]:
        """Return one sum per kind, provider, model and tier."""
        groups: dict[tuple[str, str, str, str], list[CostEvent]] = {}
        for (owner, _), event in self._events.items():
            if owner == tenant_id and _within(event, period):
                groups.setdefault((event.kind, event.provider, event.model, event.tier), []).append(event)
        return [_sum(key, groups[key]) for key in sorted(groups)]


def _sum(key: tuple[str, str, str, str], events: Sequence[CostEvent]) -> CostSum:
    quantities: Counter[str] = Counter()
    for event in events:
        quantities.update(event.quantities)
    return CostSum(*key, len(events), sum(event.cost_micro_usd for event in events), dict(quantities))


def _within(event: CostEvent, period: Period) -> bool:
    at = event.occurred_at
    return (
        at is not None
        and (period.start is None or at >= period.start)
        and (period.end is None or at < period.end)
        and (not period.room or event.room == period.room)
    )
