"""All that this service needs from outside, and what happens when it is gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.ratelimit.cost_events import CostEvent, CostSum, Period
from services.ratelimit.limits import Charge, RateLimit, SlotLimit, Verdict
from services.ratelimit.slots import Holding


class LimitStore(Protocol):
    """Where buckets live. Every method raises StoreGone, soon, when the store does not answer.

    Gone means *fail open, bounded*: the flow decides from a store of its own process that holds this server's share of
    each limit, and marks the answer `degraded`. Leases are the exception: none are granted, callers ask directly.
    """

    async def spend_all(self, tenant_id: str, charges: Sequence[Charge]) -> list[Verdict]:
        """Spend every charge, or none when one does not fit. The charges are of different buckets."""
        ...

    async def spend_each(self, tenant_id: str, charges: Sequence[Charge]) -> list[Verdict]:
        """Decide each charge for itself, in order."""
        ...

    async def peek(self, tenant_id: str, charge: Charge) -> Verdict:
        """What a charge would be told, spending nothing."""
        ...

    async def lease(self, tenant_id: str, lease_id: str, limit: RateLimit, subject: str, units: int) -> tuple[int, int]:
        """Debit up to `units`: (units granted, wait in microseconds when none)."""
        ...

    async def give_back(self, tenant_id: str, lease_id: str, units: int) -> int | None:
        """End a lease, freeing `units` of it; gives the units it held, None when there is none.

        Frees nothing and keeps the lease when it held fewer than `units`.
        """
        ...

    async def acquire(self, tenant_id: str, limit: SlotLimit, holder: str, ttl_us: int) -> Holding:
        """Take or renew a slot."""
        ...

    async def release(self, tenant_id: str, limit: SlotLimit, holder: str) -> None:
        """Give a slot back; without effect when it is not held."""
        ...


class Ledger(Protocol):
    """The book. It *fails closed*: LedgerGone is raised, nothing is half written, and the caller sends again."""

    async def record(self, tenant_id: str, events: Sequence[CostEvent]) -> list[CostEvent]:
        """Book the events whose ids are new to the tenant, durably, and give them back."""
        ...

    async def sums(self, tenant_id: str, period: Period) -> list[CostSum]:
        """Sums by kind, provider, model and tier."""
        ...
