"""Interfaces to what the service needs from outside: the limit store (Redis) and the ledger (Postgres)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.ratelimit.algorithms.slots import Holding
from services.ratelimit.ledger.cost_events import CostEvent
from services.ratelimit.ledger.cost_sums import CostSum, Period
from services.ratelimit.limits.rate_limits import Charge, RateLimit, SlotLimit, Verdict


class LimitStore(Protocol):
    """State of all limits of all tenants. Every method raises StoreUnavailable after a short timeout.

    An unavailable store means *fail open, bounded*: the flow decides with a store in its own process that holds this
    replica's share of each limit, and marks the answer `degraded`. Leases are not granted then.
    """

    async def spend_all(self, tenant_id: str, charges: Sequence[Charge]) -> list[Verdict]:
        """Spend every charge, or none if one does not fit.

        Args:
            tenant_id: The tenant.
            charges: Charges of distinct buckets (limit and subject).

        Returns:
            One verdict per charge, in order.
        """
        ...

    async def spend_each(self, tenant_id: str, charges: Sequence[Charge]) -> list[Verdict]:
        """Decide and spend each charge on its own, in order; return one verdict per charge."""
        ...

    async def peek(self, tenant_id: str, charge: Charge) -> Verdict:
        """Return the verdict of a charge, spending nothing."""
        ...

    async def lease(self, tenant_id: str, lease_id: str, limit: RateLimit, subject: str, units: int) -> tuple[int, int]:
        """Debit up to `units` in advance.

        Returns:
            Units granted, and the wait in microseconds if there are none.
        """
        ...

    async def return_lease(self, tenant_id: str, lease_id: str, units: int) -> int | None:
        """End a lease and free its unspent units.

        Args:
            tenant_id: The tenant.
            lease_id: The lease.
            units: Units that were not spent. More than the lease held frees nothing and keeps the lease.

        Returns:
            The units that the lease held, or None if there is no such lease.
        """
        ...

    async def acquire(self, tenant_id: str, limit: SlotLimit, holder: str, ttl_us: int) -> Holding:
        """Take a slot for `ttl_us` microseconds, or renew the holder's own."""
        ...

    async def release(self, tenant_id: str, limit: SlotLimit, holder: str) -> None:
        """Release the holder's slot; without one, nothing happens."""
        ...


class Ledger(Protocol):
    """Cost events of all tenants. *Fails closed*: raises LedgerUnavailable, writes nothing, and the caller retries."""

    async def record(self, tenant_id: str, events: Sequence[CostEvent]) -> list[CostEvent]:
        """Record events durably.

        Args:
            tenant_id: The tenant.
            events: Checked events.

        Returns:
            The events that were new. Those whose id the tenant had recorded before are left out.
        """
        ...

    async def sums(self, tenant_id: str, period: Period) -> list[CostSum]:
        """Return one sum per kind, provider, model and tier, in that order."""
        ...
