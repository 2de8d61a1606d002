"""Spending of tenants with a budget since midnight UTC: the ledger's sum plus newer costs of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from hocket.chassis import deadline
from hocket.chassis.clock import Clock
from hocket.chassis.errors import MeshError
from hocket.client.limiter_metrics import limiter_unavailable
from services.llm_router.billing.budget import BudgetStanding, standing_of

REFRESH_S = 10.0
TENANTS_MAX = 10_000

# Returns the micro-USD that the calling tenant has spent since a time.
SpentSince = Callable[[datetime], Awaitable[int]]


@dataclass(slots=True)
class _Spending:
    day: str
    micro_usd: int = 0
    asked_s: float = float("-inf")
    asking: asyncio.Task[None] | None = None


class DayBudget:
    """Spending of the day. Fails open: without the ledger only costs of this process count."""

    def __init__(self, spent_since: SpentSince | None, clock: Clock) -> None:
        """Read spending through `spent_since`; None where no ledger is configured."""
        self._spent_since = spent_since
        self._clock = clock
        self._tenants: dict[str, _Spending] = {}

    def standing(self, tenant_id: str, budget_micro_usd: int) -> BudgetStanding:
        """Return the standing of the calling tenant without waiting; the ledger is read in the background."""
        if not budget_micro_usd:
            return BudgetStanding.NORMAL
        spending = self._of(tenant_id)
        now = self._clock.monotonic()
        if self._spent_since is not None and now - spending.asked_s > REFRESH_S:
            spending.asked_s = now
            spending.asking = asyncio.create_task(self._refresh(spending, self._spent_since))
        return standing_of(spending.micro_usd, budget_micro_usd)

    def record(self, tenant_id: str, micro_usd: int) -> None:
        """Add a cost in micro-USD; kept only for tenants with a budget."""
        if tenant_id in self._tenants:
            self._of(tenant_id).micro_usd += micro_usd

    def _of(self, tenant_id: str) -> _Spending:
        today = datetime.fromtimestamp(self._clock.time(), UTC).strftime("%Y-%m-%d")
        spending = self._tenants.get(tenant_id)
        if spending is None or spending.day != today:
            if len(self._tenants) >= TENANTS_MAX:
                del self._tenants[next(iter(self._tenants))]
            spending = self._tenants[tenant_id] = _Spending(today)
        return spending

    async def _refresh(self, spending: _Spending, spent_since: SpentSince) -> None:
        # Read for later requests: not bound by the deadline of this one.
        deadline.bind(None)
        start = datetime.strptime(spending.day, "%Y-%m-%d").replace(tzinfo=UTC)
        try:
            recorded = await spent_since(start)
        except MeshError:
            limiter_unavailable.labels("get_costs").inc()
            return
        # Costs recorded here may not be in the ledger yet: use the larger of both.
        spending.micro_usd = max(spending.micro_usd, recorded)
