"""Order of operations: which limit applies, what the shared store answers, and the fallback when it does not."""

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
from services.ratelimit import telemetry
from services.ratelimit.algorithms.sliding_log import lease_ttl_us, smallest_lease
from services.ratelimit.algorithms.slots import Holding
from services.ratelimit.errors import LeaseNotFound, StoreUnavailable
from services.ratelimit.ledger.cost_events import CostEvent, check_events
from services.ratelimit.ledger.cost_sums import CostSum, Period, check_period
from services.ratelimit.limits import spends
from services.ratelimit.limits.limit_table import LimitTable
from services.ratelimit.limits.rate_limits import UNLIMITED, US, Algorithm, Charge, RateLimit, Verdict
from services.ratelimit.limits.spends import Spend
from services.ratelimit.ports import Ledger, LimitStore
from services.ratelimit.text_fields import check_limit_name

T = TypeVar("T")
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Standing:
    """A limit and the verdict of one charge against it."""

    limit: RateLimit
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Decision:
    """Standings in the order of the request; `degraded` if Redis did not take part in them."""

    standings: Sequence[Standing]
    degraded: bool

    @property
    def admitted(self) -> bool:
        """Whether every cost fits."""
        return all(standing.verdict.fits for standing in self.standings)


@dataclass(frozen=True, slots=True)
class Lease:
    """A granted lease, or the wait if no unit was granted. Times are in microseconds."""

    lease_id: str
    units: int
    ttl_us: int
    wait_us: int


@dataclass(frozen=True, slots=True)
class SlotDecision:
    """Whether the holder has a slot of `capacity_slots`; `degraded` if Redis did not take part."""

    holding: Holding
    capacity_slots: int
    degraded: bool


class Limiter:
    """Decides what each tenant may spend now."""

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
        """Create a limiter.

        Args:
            table: The configured limits.
            shared: Store that all replicas share (Redis).
            local: Store in this process, used while `shared` is unavailable.
            breaker: Circuit breaker around `shared`.
            clock: Source of time.
            new_lease_id: Returns a new random lease id.
            replicas_expected: Replicas of the service: `local` enforces 1/`replicas_expected` of each limit.
        """
        self._table = table
        self._shared = shared
        self._local = local
        self._breaker = breaker
        self._clock = clock
        self._new_lease_id = new_lease_id
        self._replicas = replicas_expected
        telemetry.expose_decisions([*table.rates, *table.slots])

    async def check(self, caller: Identity, requested: Sequence[Spend]) -> Decision:
        """Spend several costs, all of them or none.

        Args:
            caller: The verified caller; its tenant and tier select the limits.
            requested: 1 to 16 costs of distinct limits and subjects.

        Raises:
            LimitNotFound: A limit is not configured.
            InvalidArgument: Two spends are of the same bucket, or there are too many.
        """
        spends.check_spends(requested)
        return await self._spend(caller, requested, "check", lambda store: store.spend_all)

    async def check_rows(self, caller: Identity, rows: Sequence[Spend]) -> Decision:
        """Decide and spend independent rows, in order.

        Raises:
            LimitNotFound: A limit is not configured; no row was spent.
        """
        return await self._spend(caller, rows, "check_stream", lambda store: store.spend_each)

    async def wait_time(self, caller: Identity, requested: Spend) -> Decision:
        """Return the standing of a limit for a cost, spending nothing.

        Raises:
            LimitNotFound: The limit is not configured.
        """
        charge = self._charge(caller, requested)
        if charge.limit.capacity_units == 0:
            return Decision([Standing(charge.limit, UNLIMITED)], degraded=False)
        verdict, degraded = await self._with_fallback(
            "get_wait_time",
            lambda: self._shared.peek(caller.tenant_id, charge),
            lambda: self._local.peek(caller.tenant_id, charge.share(self._replicas)),
        )
        return Decision([Standing(charge.limit, verdict)], degraded)

    async def lease(self, caller: Identity, requested: Spend) -> Lease:
        """Debit a block of units in advance.

        Args:
            caller: The verified caller.
            requested: Limit, subject and units wanted; fewer may be granted, and none while Redis is unavailable.

        Raises:
            LimitNotFound: The limit is not configured.
            InvalidArgument: The limit is smooth or unlimited, or too few units are wanted.
        """
        limit = self._charge(caller, requested).limit
        if limit.algorithm is Algorithm.SMOOTH or limit.capacity_units == 0:
            raise invalid_field("limit", "is smooth or unlimited and cannot be leased; use Check")
        if requested.cost_units < smallest_lease(limit):
            raise invalid_field(
                "units", f"is {requested.cost_units}; must be at least {smallest_lease(limit)} for this limit"
            )
        lease_id = self._new_lease_id()
        (units, wait_us), degraded = await self._with_fallback(
            "lease",
            lambda: self._shared.lease(caller.tenant_id, lease_id, limit, requested.subject, requested.cost_units),
            self._no_lease,
        )
        outcome = "granted" if units else "degraded" if degraded else "refused"
        telemetry.LEASES.labels(limit.name, outcome).inc()
        return Lease(lease_id if units else "", units, lease_ttl_us(limit), 0 if units else wait_us or limit.window_us)

    async def return_lease(self, caller: Identity, lease_id: str, units: int) -> None:
        """End a lease and free its unspent units.

        Raises:
            LeaseNotFound: The lease has expired or was returned before.
            InvalidArgument: `units` exceeds what the lease held, or a field is malformed.
            StoreUnavailable: Redis did not answer; the units come free with their window.
        """
        spends.check_return(lease_id, units)
        held = await self._shared.return_lease(caller.tenant_id, lease_id, units)
        if held is None:
            raise LeaseNotFound("lease not found: it has expired or was returned before")
        if units > held:
            raise invalid_field("units", f"is {units}; the lease held {held}")

    async def acquire(self, caller: Identity, name: str, holder: str, ttl_s: float | None) -> SlotDecision:
        """Take a slot of a concurrency limit, or renew the holder's own.

        While Redis is unavailable this process counts slots on its own, up to its share of the limit. A few holders
        too many are better than a refused call, and renewals enter the holders into Redis when it is back.

        Args:
            caller: The verified caller.
            name: Name of the concurrency limit.
            holder: Name of the holder, unique in the tenant.
            ttl_s: Seconds until the slot ends unless renewed; None for 60.

        Raises:
            LimitNotFound: The limit is not configured.
            InvalidArgument: A field is malformed.
        """
        check_limit_name("limit", name)
        spends.check_holder(holder)
        ttl_us = int(spends.slot_ttl_s(ttl_s) * US)
        limit = self._table.slot(name, caller.tenant_tier)
        holding, degraded = await self._with_fallback(
            "acquire",
            lambda: self._shared.acquire(caller.tenant_id, limit, holder, ttl_us),
            lambda: self._local.acquire(caller.tenant_id, limit.share(self._replicas), holder, ttl_us),
        )
        outcome = "admitted" if holding.acquired else "denied"
        telemetry.DECISIONS.labels(name, outcome, caller.tenant_tier).inc()
        return SlotDecision(holding, limit.capacity_slots, degraded)

    async def release(self, caller: Identity, name: str, holder: str) -> None:
        """Release the holder's slot. While Redis is unavailable, its time to live ends it instead.

        Raises:
            LimitNotFound: The limit is not configured.
            InvalidArgument: A field is malformed.
        """
        check_limit_name("limit", name)
        spends.check_holder(holder)
        limit = self._table.slot(name, caller.tenant_tier)
        # The slot may have been taken from the local store during an outage.
        await self._local.release(caller.tenant_id, limit, holder)
        await self._with_fallback("release", lambda: self._shared.release(caller.tenant_id, limit, holder), _nothing)

    async def _spend(
        self,
        caller: Identity,
        requested: Sequence[Spend],
        operation: str,
        method: Callable[[LimitStore], Callable[[str, Sequence[Charge]], Awaitable[list[Verdict]]]],
    ) -> Decision:
        charges = [self._charge(caller, spend) for spend in requested]
        limited = [charge for charge in charges if charge.limit.capacity_units]
        verdicts, degraded = list[Verdict](), False
        if limited:
            verdicts, degraded = await self._with_fallback(
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

    async def _with_fallback(
        self, operation: str, shared: Callable[[], Awaitable[T]], local: Callable[[], Awaitable[T]]
    ) -> tuple[T, bool]:
        """Return the shared store's answer and False, or the local store's answer and True (degraded)."""
        if self._breaker.allows(self._clock.monotonic()):
            try:
                answer = await shared()
            except StoreUnavailable as error:
                self._breaker.record_failure(self._clock.monotonic())
                _log.warning("deciding without redis", operation=operation, problem=error.message)
            else:
                self._breaker.record_success()
                return answer, False
        telemetry.DEGRADED.labels(operation).inc()
        return await local(), True


async def _nothing() -> None:
    return None


class CostLedger:
    """Records and sums the cost events of each tenant."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        """Create the flow.

        Args:
            ledger: Where events are stored.
            clock: Source of time, to reject events from the future.
        """
        self._ledger = ledger
        self._clock = clock

    async def record(self, caller: Identity, events: Sequence[CostEvent]) -> tuple[int, int]:
        """Check and record cost events of the caller's tenant.

        Args:
            caller: The verified caller.
            events: 1 to 1000 events.

        Returns:
            How many events were new, and how many were recorded before.

        Raises:
            InvalidArgument: An event is malformed; none was recorded.
            LedgerUnavailable: The database cannot be reached; retry with the same event ids.
        """
        check_events(events, datetime.fromtimestamp(self._clock.time(), UTC))
        recorded = await self._ledger.record(caller.tenant_id, events)
        telemetry.COST_EVENTS.labels("recorded").inc(len(recorded))
        telemetry.COST_EVENTS.labels("duplicate").inc(len(events) - len(recorded))
        for event in recorded:
            telemetry.COST_MICRO_USD.labels(event.kind, caller.tenant_tier).inc(event.cost_micro_usd)
        return len(recorded), len(events) - len(recorded)

    async def sums(self, caller: Identity, period: Period) -> list[CostSum]:
        """Sum the cost events of the caller's tenant.

        Raises:
            InvalidArgument: The period ends before it starts, or the room is malformed.
            LedgerUnavailable: The database cannot be reached.
        """
        check_period(period)
        return await self._ledger.sums(caller.tenant_id, period)
