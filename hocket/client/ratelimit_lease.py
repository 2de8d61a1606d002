"""Decides about busy limits in this process: from units leased in advance, and from denials still in force.

A caller that decides thousands of times a second asks the service a few times a second. The promise stays the
service's: a leased unit was debited before it is spent and counts for a whole window after the last moment it may be
spent, so no window ever sees more than the capacity. A limit that is not busy is asked for directly, as is one near its
end, where leases would strand what others could use.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import structlog
from hocket.ratelimit.v1.ratelimit_pb2 import Spend

from hocket.chassis import identity
from hocket.chassis.clock import Clock, SystemClock
from hocket.chassis.errors import InvalidArgument, MeshError
from hocket.client.ratelimit import RateLimitClient

# A lease pays when it saves this many calls in its life.
LEASE_CALLS_MIN = 8
# The service refuses leases under 1/1024 of a limit.
CAPACITY_DIVISOR = 1024
# Units that come back early (a returned lease, a raised limit) are noticed after this.
DENIAL_S_MAX = 1.0
# A limit that cannot be leased (smooth, unlimited) is not asked for again before this.
UNLEASABLE_S = 60.0
RATE_WINDOW_S = 0.5
LEASE_TTL_S = 1.0
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether the cost was admitted; if not, the seconds until it would be, None for never."""

    admitted: bool
    wait_s: float | None = 0.0


_ADMITTED = Answer(admitted=True)


@dataclass(slots=True)
class _Lease:
    lease_id: str
    units: int
    granted: int
    ends_s: float


@dataclass(slots=True)
class _Bucket:
    """What is known here of one limit and subject of one tenant."""

    leases: list[_Lease] = field(default_factory=list["_Lease"])
    refill: asyncio.Task[None] | None = None
    direct_until_s: float = 0.0
    denied_until_s: float = 0.0
    denied_units: int = 0
    fits_at_s: float = 0.0
    capacity_units: int = 0
    seen_units: int = 0
    seen_since_s: float = 0.0
    units_per_s: float = 0.0


class LeasedLimits:
    """As RateLimitClient.check for one limit, mostly without a call. Make it in the event loop that uses it."""

    def __init__(self, client: RateLimitClient, *, clock: Clock | None = None, buckets_max: int = 10_000) -> None:
        """Lease through `client`. Leases are kept apart by the tenant of the RPC being served."""
        self._client = client
        self._clock = clock or SystemClock()
        self._buckets_max = buckets_max
        self._buckets: OrderedDict[tuple[str, str, str], _Bucket] = OrderedDict()
        self._background: set[asyncio.Task[None]] = set()

    async def spend(self, limit: str, cost: int = 1, *, subject: str = "") -> Answer:
        """Spend `cost` units (1 or more) of `limit`. Raises what RateLimitClient.check raises."""
        bucket = self._bucket(limit, subject)
        now_s = self._clock.monotonic()
        self._count(bucket, cost, now_s)
        answer = self._decide_here(bucket, limit, subject, cost, now_s)
        if answer is not None:
            return answer
        if self._worth_leasing(bucket, cost, now_s):
            self._start_refill(bucket, limit, subject)
        if bucket.refill is not None:
            # Shared by all who wait here, and not ended with one of them.
            await asyncio.shield(bucket.refill)
            answer = self._decide_here(bucket, limit, subject, cost, self._clock.monotonic())
        return answer or await self._ask(bucket, limit, subject, cost)

    async def close(self) -> None:
        """Give back what was not spent, as far as the service takes it now."""
        refills = [bucket.refill for bucket in self._buckets.values() if bucket.refill]
        await asyncio.gather(*refills, return_exceptions=True)
        for bucket in self._buckets.values():
            for lease in bucket.leases:
                self._give_back(lease)
            bucket.leases.clear()
        await asyncio.gather(*self._background, return_exceptions=True)

    async def __aenter__(self) -> Self:
        """Use as `async with`."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    def _bucket(self, limit: str, subject: str) -> _Bucket:
        caller = identity.current_or_none()
        key = (caller.tenant_id if caller else "", limit, subject)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(seen_since_s=self._clock.monotonic())
            if len(self._buckets) > self._buckets_max:
                for lease in self._buckets.popitem(last=False)[1].leases:
                    self._give_back(lease)
        else:
            self._buckets.move_to_end(key)
        return bucket

    def _count(self, bucket: _Bucket, cost: int, now_s: float) -> None:
        bucket.seen_units += cost
        elapsed_s = now_s - bucket.seen_since_s
        if elapsed_s >= RATE_WINDOW_S:
            bucket.units_per_s = bucket.seen_units / elapsed_s
            bucket.seen_units, bucket.seen_since_s = 0, now_s

    def _decide_here(self, bucket: _Bucket, limit: str, subject: str, cost: int, now_s: float) -> Answer | None:
        """The answer that needs no call, or None."""
        while bucket.leases and now_s >= bucket.leases[0].ends_s:
            self._give_back(bucket.leases.pop(0))
        for lease in bucket.leases:
            if lease.units >= cost:
                lease.units -= cost
                if sum(held.units for held in bucket.leases) < lease.granted // 2:
                    self._prefetch(bucket, limit, subject, cost, now_s)
                return _ADMITTED
        if now_s < bucket.denied_until_s and cost >= bucket.denied_units:
            return Answer(admitted=False, wait_s=bucket.fits_at_s - now_s)
        return None

    def _worth_leasing(self, bucket: _Bucket, cost: int, now_s: float) -> bool:
        return now_s >= bucket.direct_until_s and self._wish(bucket) >= LEASE_CALLS_MIN * cost

    def _wish(self, bucket: _Bucket) -> int:
        """Units that one lease time will need at the pace seen, counting the half-seen present."""
        pace = max(bucket.units_per_s, bucket.seen_units / RATE_WINDOW_S)
        return math.ceil(pace * LEASE_TTL_S)

    def _prefetch(self, bucket: _Bucket, limit: str, subject: str, cost: int, now_s: float) -> None:
        if bucket.refill is None and self._worth_leasing(bucket, cost, now_s):
            self._start_refill(bucket, limit, subject)

    def _start_refill(self, bucket: _Bucket, limit: str, subject: str) -> None:
        if bucket.refill is None:
            bucket.refill = asyncio.create_task(self._refill(bucket, limit, subject), name="lease")
            bucket.refill.add_done_callback(lambda _: setattr(bucket, "refill", None))

    async def _refill(self, bucket: _Bucket, limit: str, subject: str) -> None:
        """Lease once; whatever goes wrong sends the next callers to ask directly for a while."""
        # Counted from before the request left, the units' time ends here before it ends in the service's count.
        sent_s = self._clock.monotonic()
        wish = max(self._wish(bucket), bucket.capacity_units // CAPACITY_DIVISOR)
        try:
            granted = await self._client.lease(limit, min(wish, 1_000_000), subject=subject)
        except InvalidArgument:
            bucket.direct_until_s = sent_s + UNLEASABLE_S
        except MeshError as error:
            _log.warning("no lease", limit=limit, reason=error.reason)
            bucket.direct_until_s = sent_s + DENIAL_S_MAX
        else:
            if granted.units:
                ends_s = sent_s + granted.ttl.ToMicroseconds() / 1e6
                bucket.leases.append(_Lease(granted.lease_id, granted.units, granted.units, ends_s))
                if granted.units < wish // 2:
                    # Near its end: what is left is for those who ask.
                    bucket.direct_until_s = ends_s
            else:
                bucket.direct_until_s = sent_s + min(granted.wait.ToMicroseconds() / 1e6, DENIAL_S_MAX)

    async def _ask(self, bucket: _Bucket, limit: str, subject: str, cost: int) -> Answer:
        spend = Spend(limit=limit, cost=cost, subject=subject)
        response = await self._client.check([spend])
        if not response.admitted and any(lease.units for lease in bucket.leases):
            # It may be what is held here that is missing there.
            held, bucket.leases = bucket.leases, []
            bucket.direct_until_s = self._clock.monotonic() + LEASE_TTL_S
            await asyncio.gather(*(self._return(lease) for lease in held if lease.units))
            response = await self._client.check([spend])
        standing = response.standings[0]
        bucket.capacity_units = standing.capacity
        if response.admitted:
            return _ADMITTED
        if not standing.HasField("wait"):
            return Answer(admitted=False, wait_s=None)
        wait_s = standing.wait.ToMicroseconds() / 1e6
        now_s = self._clock.monotonic()
        bucket.denied_until_s, bucket.fits_at_s = now_s + min(wait_s, DENIAL_S_MAX), now_s + wait_s
        bucket.denied_units = cost
        return Answer(admitted=False, wait_s=wait_s)

    def _give_back(self, lease: _Lease) -> None:
        if lease.units == 0:
            return
        task = asyncio.create_task(self._return(lease), name="return lease")
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _return(self, lease: _Lease) -> None:
        try:
            await self._client.give_back(lease.lease_id, lease.units)
        except MeshError as error:
            # The window frees them in any case, a little later.
            _log.info("lease not returned", reason=error.reason)
