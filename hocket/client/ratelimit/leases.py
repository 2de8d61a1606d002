"""Decides in this process about limits with many decisions per second, from units leased in advance.

A caller with thousands of decisions per second makes a few calls per second. The limit still holds: a leased unit is
debited before it is spent and counts for a whole window after the last moment at which it may be spent, so no window
admits more than the capacity. A limit with few decisions is checked by one call each, as is a limit that is nearly
spent, where leases would hold units that other callers could use.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from dataclasses import dataclass, field

import structlog
from hocket.ratelimit.v1.ratelimit_pb2 import Spend

from hocket.chassis import identity
from hocket.chassis.clock import Clock, SystemClock
from hocket.chassis.closes_on_exit import ClosesOnExit
from hocket.chassis.errors import InvalidArgument, MeshError
from hocket.client.ratelimit.client import RateLimitClient

# A lease is requested only if it saves at least this many calls in its lifetime.
LEASE_CALLS_MIN = 8
# The service refuses leases of less than 1/1024 of a limit.
CAPACITY_DIVISOR = 1024
LEASE_UNITS_MAX = 1_000_000
# A denial is answered from memory at most this long: units may come back early from a returned lease or a raised limit.
DENIAL_S_MAX = 1.0
# A limit that cannot be leased (smooth or unlimited) is tried again after this.
UNLEASABLE_S = 60.0
# The rate of spending is measured over windows of this length.
RATE_WINDOW_S = 0.5
LEASE_TTL_S = 1.0
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Decision:
    """Result of one spend.

    Attributes:
        admitted: Whether the cost was spent.
        wait_s: Seconds until the same cost would be admitted; 0 if it was, None if it is larger than the whole limit.
    """

    admitted: bool
    wait_s: float | None = 0.0


_ADMITTED = Decision(admitted=True)


@dataclass(slots=True)
class _Lease:
    lease_id: str
    units: int
    granted_units: int
    ends_s: float


@dataclass(slots=True)
class _Bucket:
    """State of one limit and subject of one tenant. Times are of the monotonic clock, in seconds."""

    leases: list[_Lease] = field(default_factory=list["_Lease"])
    refill: asyncio.Task[None] | None = None
    unleased_until_s: float = 0.0
    denied_until_s: float = 0.0
    denied_units: int = 0
    fits_at_s: float = 0.0
    capacity_units: int = 0
    counted_units: int = 0
    counted_since_s: float = 0.0
    units_per_s: float = 0.0


class LeasedLimits(ClosesOnExit):
    """Spends from limits as RateLimitClient does, mostly without a call.

    Create it in the event loop that uses it, and close it to return unspent units. Leases are kept per tenant of the
    RPC being served.

    Example:
            async with LeasedLimits(RateLimitClient(channel)) as limits:
                decision = await limits.spend("rag_queries")
                if not decision.admitted:
                    raise ResourceExhausted("too many queries", retry_after_s=decision.wait_s)
    """

    def __init__(self, client: RateLimitClient, *, clock: Clock | None = None, buckets_max: int = 10_000) -> None:
        """Create an empty set of leases.

        Args:
            client: Makes the calls. The caller closes its channel.
            clock: Source of monotonic time; None for the system's.
            buckets_max: Limits and subjects to remember; beyond that the least recently used one is forgotten and its
                leases are returned.
        """
        self._client = client
        self._clock = clock or SystemClock()
        self._buckets_max = buckets_max
        self._buckets: OrderedDict[tuple[str, str, str], _Bucket] = OrderedDict()
        self._background: set[asyncio.Task[None]] = set()

    async def spend(self, limit: str, cost: int = 1, *, subject: str = "") -> Decision:
        """Spend from one limit.

        Args:
            limit: Name of the limit.
            cost: Units to spend, 1 or more.
            subject: Narrows the limit below the tenant, for instance a user id; "" for the tenant as a whole.

        Returns:
            The decision. A denial is a result, not an error.

        Raises:
            NotFound: The limit is not configured.
            Unavailable: A call was needed and the service did not answer.
        """
        bucket = self._bucket(limit, subject)
        now_s = self._clock.monotonic()
        self._count(bucket, cost, now_s)
        decision = self._decide_locally(bucket, limit, subject, cost, now_s)
        if decision is not None:
            return decision
        if self._worth_leasing(bucket, cost, now_s):
            self._start_refill(bucket, limit, subject)
        if bucket.refill is not None:
            # Several callers wait for the same refill; the cancellation of one must not end it for the others.
            await asyncio.shield(bucket.refill)
            decision = self._decide_locally(bucket, limit, subject, cost, self._clock.monotonic())
        return decision or await self._check(bucket, limit, subject, cost)

    async def close(self) -> None:
        """Return unspent units; a failure to do so is logged, and the units come free with their window."""
        refills = [bucket.refill for bucket in self._buckets.values() if bucket.refill]
        await asyncio.gather(*refills, return_exceptions=True)
        for bucket in self._buckets.values():
            for lease in bucket.leases:
                self._return_in_background(lease)
            bucket.leases.clear()
        await asyncio.gather(*self._background, return_exceptions=True)

    def _bucket(self, limit: str, subject: str) -> _Bucket:
        caller = identity.current_or_none()
        key = (caller.tenant_id if caller else "", limit, subject)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(counted_since_s=self._clock.monotonic())
            if len(self._buckets) > self._buckets_max:
                for lease in self._buckets.popitem(last=False)[1].leases:
                    self._return_in_background(lease)
        else:
            self._buckets.move_to_end(key)
        return bucket

    def _count(self, bucket: _Bucket, cost: int, now_s: float) -> None:
        bucket.counted_units += cost
        elapsed_s = now_s - bucket.counted_since_s
        if elapsed_s >= RATE_WINDOW_S:
            bucket.units_per_s = bucket.counted_units / elapsed_s
            bucket.counted_units, bucket.counted_since_s = 0, now_s

    def _decide_locally(self, bucket: _Bucket, limit: str, subject: str, cost: int, now_s: float) -> Decision | None:
        """Decide from a lease or a recent denial; None if a call is needed."""
        while bucket.leases and now_s >= bucket.leases[0].ends_s:
            self._return_in_background(bucket.leases.pop(0))
        for lease in bucket.leases:
            if lease.units >= cost:
                lease.units -= cost
                if sum(held.units for held in bucket.leases) < lease.granted_units // 2:
                    self._prefetch(bucket, limit, subject, cost, now_s)
                return _ADMITTED
        if now_s < bucket.denied_until_s and cost >= bucket.denied_units:
            return Decision(admitted=False, wait_s=bucket.fits_at_s - now_s)
        return None

    def _worth_leasing(self, bucket: _Bucket, cost: int, now_s: float) -> bool:
        return now_s >= bucket.unleased_until_s and self._wanted_units(bucket) >= LEASE_CALLS_MIN * cost

    def _wanted_units(self, bucket: _Bucket) -> int:
        """Units that one lease lifetime needs at the measured rate, or at that of the window in progress if higher."""
        rate = max(bucket.units_per_s, bucket.counted_units / RATE_WINDOW_S)
        return math.ceil(rate * LEASE_TTL_S)

    def _prefetch(self, bucket: _Bucket, limit: str, subject: str, cost: int, now_s: float) -> None:
        if bucket.refill is None and self._worth_leasing(bucket, cost, now_s):
            self._start_refill(bucket, limit, subject)

    def _start_refill(self, bucket: _Bucket, limit: str, subject: str) -> None:
        if bucket.refill is None:
            bucket.refill = asyncio.create_task(self._refill(bucket, limit, subject), name="lease")
            bucket.refill.add_done_callback(lambda _: setattr(bucket, "refill", None))

    async def _refill(self, bucket: _Bucket, limit: str, subject: str) -> None:
        """Request one lease. After a failure the next decisions are made by direct calls for a while."""
        # The lease starts here, before the request leaves, so that it ends here before it ends in the service.
        sent_s = self._clock.monotonic()
        wanted = max(self._wanted_units(bucket), bucket.capacity_units // CAPACITY_DIVISOR)
        try:
            granted = await self._client.lease(limit, min(wanted, LEASE_UNITS_MAX), subject=subject)
        except InvalidArgument:
            bucket.unleased_until_s = sent_s + UNLEASABLE_S
        except MeshError as error:
            _log.warning("no lease; checking directly", limit=limit, reason=error.reason, problem=error.message)
            bucket.unleased_until_s = sent_s + DENIAL_S_MAX
        else:
            if granted.units:
                ends_s = sent_s + granted.ttl.ToMicroseconds() / 1e6
                bucket.leases.append(_Lease(granted.lease_id, granted.units, granted.units, ends_s))
                if granted.units < wanted // 2:
                    # The limit is nearly spent: leave the rest to direct calls.
                    bucket.unleased_until_s = ends_s
            else:
                bucket.unleased_until_s = sent_s + min(granted.wait.ToMicroseconds() / 1e6, DENIAL_S_MAX)

    async def _check(self, bucket: _Bucket, limit: str, subject: str, cost: int) -> Decision:
        spend = Spend(limit=limit, cost=cost, subject=subject)
        response = await self._client.check([spend])
        if not response.admitted and any(lease.units for lease in bucket.leases):
            # The units leased here may be the ones that are missing in the service: return them and ask again.
            held, bucket.leases = bucket.leases, []
            bucket.unleased_until_s = self._clock.monotonic() + LEASE_TTL_S
            await asyncio.gather(*(self._return(lease) for lease in held if lease.units))
            response = await self._client.check([spend])
        standing = response.standings[0]
        bucket.capacity_units = standing.capacity
        if response.admitted:
            return _ADMITTED
        if not standing.HasField("wait"):
            return Decision(admitted=False, wait_s=None)
        wait_s = standing.wait.ToMicroseconds() / 1e6
        now_s = self._clock.monotonic()
        bucket.denied_until_s, bucket.fits_at_s = now_s + min(wait_s, DENIAL_S_MAX), now_s + wait_s
        bucket.denied_units = cost
        return Decision(admitted=False, wait_s=wait_s)

    def _return_in_background(self, lease: _Lease) -> None:
        if lease.units == 0:
            return
        task = asyncio.create_task(self._return(lease), name="return lease")
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _return(self, lease: _Lease) -> None:
        try:
            await self._client.return_lease(lease.lease_id, lease.units)
        except MeshError as error:
            # The units come free when they leave the window, at most one window later.
            _log.info("lease not returned", units=lease.units, reason=error.reason)
