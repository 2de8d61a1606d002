"""The order of things: which limit holds, what the shared store says, and what to say when it is silent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import structlog

from hocket.chassis.circuit_breaker import CircuitBreaker
from hocket.chassis.clock import Clock
from hocket.chassis.errors import invalid_field
from hocket.chassis.identity import Identity
from services.ratelimit import cost_events, spends, telemetry
from services.ratelimit.cost_events import CostEvent, CostSum, Period
from services.ratelimit.errors import LeaseNotFound, StoreGone
from services.ratelimit.limits import UNLIMITED, US, Algorithm, Charge, LimitTable, RateLimit, Verdict
from services.ratelimit.ports import Ledger, LimitStore
from services.ratelimit.sliding_log import lease_ttl_us, smallest_lease
from services.ratelimit.slots import Holding
from services.ratelimit.spends import Spend

T = TypeVar("T")
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one limit stands after a decision."""

    limit: RateLimit
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Decision:
    """The standings in the order asked; `degraded` when Redis had no part in them."""

    standings: Sequence[Standing]
    degraded: bool

    @property
    def admitted(self) -> bool:
        """Whether every cost fits."""
        return all(standing.verdict.fits for standing in self.standings)


@dataclass(frozen=True, slots=True)
class Lease:
    """Units granted and for how long, or the wait when none were."""

    lease_id: str
    units: int
    ttl_us: int
    wait_us: int


class Limiter:
    """Decides for every tenant."""

    def __init__(
        self,
        *,
        table: LimitTable,
        shared: LimitStore,
        local: LimitStore,
        breaker: CircuitBreaker,
        clock: Clock,
        new_lease_id: Callable[[], str],
        replicas_expected: int = 1,
    ) -> None:
        """Ask `shared`; while it is gone, `local` with 1/`replicas_expected` of each limit."""
        self._table = table
        self._shared = shared
        self._local = local
        self._breaker = breaker
        self._clock = clock
        self._new_lease_id = new_lease_id
        self._replicas = replicas_expected

    async def check(self, caller: Identity, asked: Sequence[Spend]) -> Decision:
        """Spend all or nothing. Raises LimitNotFound, InvalidArgument."""
        spends.check_spends(asked)
        return await self._spend(caller, asked, "check", lambda store: store.spend_all)

    async def check_rows(self, caller: Identity, rows: Sequence[Spend]) -> Decision:
        """Decide independent rows in order. Raises LimitNotFound."""
        return await self._spend(caller, rows, "check_stream", lambda store: store.spend_each)

    async def wait_time(self, caller: Identity, asked: Spend) -> Decision:
        """Where a limit stands for a cost, spending nothing. Raises LimitNotFound."""
        charge = self._charge(caller, asked)
        if charge.limit.capacity_units == 0:
            return Decision([Standing(charge.limit, UNLIMITED)], degraded=False)
        verdict, degraded = await self._ask(
            "get_wait_time",
            lambda: self._shared.peek(caller.tenant_id, charge),
            lambda: self._local.peek(caller.tenant_id, charge.share(self._replicas)),
        )
        return Decision([Standing(charge.limit, verdict)], degraded)

    async def lease(self, caller: Identity, asked: Spend) -> Lease:
        """Debit a block of units. Raises LimitNotFound; InvalidArgument for a limit that cannot be leased."""
        limit = self._charge(caller, asked).limit
        if limit.algorithm is Algorithm.SMOOTH or limit.capacity_units == 0:
            raise invalid_field("limit", "is smooth or unlimited and is not leased; use Check")
        if asked.cost_units < smallest_lease(limit):
            raise invalid_field("units", f"must be {smallest_lease(limit)} or more for this limit")
        lease_id = self._new_lease_id()
        (units, wait_us), degraded = await self._ask(
            "lease",
            lambda: self._shared.lease(caller.tenant_id, lease_id, limit, asked.subject, asked.cost_units),
            self._no_lease,
        )
        outcome = "granted" if units else "degraded" if degraded else "refused"
        telemetry.LEASES.labels(limit.name, outcome).inc()
        return Lease(lease_id if units else "", units, lease_ttl_us(limit), 0 if units else wait_us or limit.window_us)

    async def give_back(self, caller: Identity, lease_id: str, units: int) -> None:
        """End a lease. Raises LeaseNotFound, InvalidArgument, StoreGone."""
        spends.check_return(lease_id, units)
        held = await self._shared.give_back(caller.tenant_id, lease_id, units)
        if held is None:
            raise LeaseNotFound("no such lease: it ran out or was returned before")
        if units > held:
            raise invalid_field("units", f"must be at most the {held} units of the lease")

    async def acquire(self, caller: Identity, name: str, holder: str, ttl_s: float | None) -> tuple[Holding, int, bool]:
        """Take or renew a slot: (holding, capacity, degraded). Raises LimitNotFound, InvalidArgument.

        While Redis is gone slots are counted in this process, at its share: a call that begins is worth more than a
        count that is right, and renewals bring the holder back into Redis as soon as it answers.
        """
        spends.check_name("limit", name)
        spends.check_text("holder", holder, spends.HOLDER_BYTES_MAX, required=True)
        ttl_us = int(spends.slot_ttl_s(ttl_s) * US)
        limit = self._table.slot(name, caller.tenant_tier)
        holding, degraded = await self._ask(
            "acquire",
            lambda: self._shared.acquire(caller.tenant_id, limit, holder, ttl_us),
            lambda: self._local.acquire(caller.tenant_id, limit.share(self._replicas), holder, ttl_us),
        )
        outcome = "admitted" if holding.acquired else "denied"
        telemetry.DECISIONS.labels(name, outcome, caller.tenant_tier).inc()
        return holding, limit.capacity_slots, degraded

    async def release(self, caller: Identity, name: str, holder: str) -> None:
        """Give a slot back; while Redis is gone its time to live does it. Raises LimitNotFound, InvalidArgument."""
        spends.check_name("limit", name)
        spends.check_text("holder", holder, spends.HOLDER_BYTES_MAX, required=True)
        limit = self._table.slot(name, caller.tenant_tier)
        # Also taken locally, perhaps, while Redis was gone.
        await self._local.release(caller.tenant_id, limit, holder)
        await self._ask("release", lambda: self._shared.release(caller.tenant_id, limit, holder), _nothing)

    async def _spend(
        self,
        caller: Identity,
        asked: Sequence[Spend],
        operation: str,
        method: Callable[[LimitStore], Callable[[str, Sequence[Charge]], Awaitable[list[Verdict]]]],
    ) -> Decision:
        charges = [self._charge(caller, spend) for spend in asked]
        limited = [charge for charge in charges if charge.limit.capacity_units]
        verdicts, degraded = list[Verdict](), False
        if limited:
            verdicts, degraded = await self._ask(
                operation,
                lambda: method(self._shared)(caller.tenant_id, limited),
                lambda: method(self._local)(caller.tenant_id, [charge.share(self._replicas) for charge in limited]),
            )
        answers = iter(verdicts)
        standings = [Standing(c.limit, next(answers) if c.limit.capacity_units else UNLIMITED) for c in charges]
        outcomes = Counter((s.limit.name, "admitted" if s.verdict.fits else "denied") for s in standings)
        for (limit, outcome), rows in outcomes.items():
            telemetry.DECISIONS.labels(limit, outcome, caller.tenant_tier).inc(rows)
        return Decision(standings, degraded)

    def _charge(self, caller: Identity, spend: Spend) -> Charge:
        return Charge(self._table.rate(spend.limit, caller.tenant_tier), spend.subject, spend.cost_units)

    async def _no_lease(self) -> tuple[int, int]:
        return 0, int(self._breaker.open_s * US)

    async def _ask(
        self, operation: str, shared: Callable[[], Awaitable[T]], local: Callable[[], Awaitable[T]]
    ) -> tuple[T, bool]:
        """The shared store's answer, or the local one and True."""
        if self._breaker.allows(self._clock.monotonic()):
            try:
                answer = await shared()
            except StoreGone as error:
                self._breaker.record_failure(self._clock.monotonic())
                _log.warning("deciding without redis", operation=operation, problem=error.message)
            else:
                self._breaker.record_success()
                return answer, False
        telemetry.DEGRADED.labels(operation).inc()
        return await local(), True


async def _nothing() -> None:
    return None


class Bookkeeper:
    """Keeps the book of every tenant."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        """Write to `ledger`."""
        self._ledger = ledger
        self._clock = clock

    async def record(self, caller: Identity, events: Sequence[CostEvent]) -> tuple[int, int]:
        """Book events of the caller's tenant: (booked now, booked before). Raises InvalidArgument, LedgerGone."""
        cost_events.check_events(events, datetime.fromtimestamp(self._clock.time(), UTC))
        recorded = await self._ledger.record(caller.tenant_id, events)
        telemetry.COST_EVENTS.labels("recorded").inc(len(recorded))
        telemetry.COST_EVENTS.labels("duplicate").inc(len(events) - len(recorded))
        for event in recorded:
            telemetry.COST_MICRO_USD.labels(event.kind, caller.tenant_tier).inc(event.cost_micro_usd)
        return len(recorded), len(events) - len(recorded)

    async def sums(self, caller: Identity, period: Period) -> list[CostSum]:
        """Sums of the caller's tenant. Raises InvalidArgument, LedgerGone."""
        cost_events.check_period(period)
        return await self._ledger.sums(caller.tenant_id, period)
