"""Several replicas on one Redis together admit no more than the capacity in any window.

The checker uses intervals: an admission happened at some time between its request and its response, on one clock. A
window is violated only if more complete intervals than the capacity lie inside it. Midpoints would fail on a busy host.
"""

from __future__ import annotations

import asyncio
import secrets
import time

import pytest

from hocket.client.ratelimit import LeasedLimits
from services.ratelimit import wire
from services.ratelimit.adapters.redis_store import RedisStore
from services.ratelimit.algorithms.sliding_log import lease_ttl_us
from services.ratelimit.flow import Decision, Lease, Standing
from services.ratelimit.limits.rate_limits import Algorithm, Charge, RateLimit, SlotLimit

WINDOW_S = 0.5


def proven_max(intervals: list[tuple[float, float, int]], window_s: float) -> int:
    """Return the most units whose call intervals lie inside one window."""
    worst = 0
    for start, _, _ in intervals:
        worst = max(worst, sum(units for sent, got, units in intervals if start <= sent and got < start + window_s))
    return worst


def test_checker_detects_a_limiter_that_admits_too_much():
    assert proven_max([(0.0, 0.01, 1), (0.1, 0.11, 1), (0.55, 0.56, 1)], 0.5) == 2


@pytest.mark.parametrize(
    "limit",
    [
        RateLimit("exact", 20, int(WINDOW_S * 1e6)),
        RateLimit("coarse", 2000, int(WINDOW_S * 1e6)),
        RateLimit("smooth", 20, int(WINDOW_S * 1e6), Algorithm.SMOOTH),
    ],
    ids=lambda limit: limit.name,
)
async def test_replicas_together_admit_no_more_than_the_capacity(redis_url, limit):
    servers = [RedisStore(redis_url, timeout_s=10) for _ in range(4)]
    cost = max(1, limit.capacity_units // 20)
    intervals: list[tuple[float, float, int]] = []
    ends = time.monotonic() + 2.2

    async def caller(store: RedisStore) -> None:
        while (sent := time.monotonic()) < ends:
            verdict = (await store.spend_all("acme", [Charge(limit, "", cost)]))[0]
            if verdict.fits:
                intervals.append((sent, time.monotonic(), cost))
            else:
                await asyncio.sleep(min(0.02, (verdict.wait_us or 0) / 1e6))

    await asyncio.gather(*(caller(store) for store in servers for _ in range(3)))
    for store in servers:
        await store.close()
    assert proven_max(intervals, WINDOW_S) <= limit.capacity_units
    # It admitted at least what one window allows at once: the capacity, or the burst.
    assert sum(units for _, _, units in intervals) > limit.burst_units


class Direct:
    """Replaces RateLimitClient: a replica of its own in this process, on the shared Redis."""

    def __init__(self, redis_url: str, limit: RateLimit) -> None:
        self.store = RedisStore(redis_url, timeout_s=10)
        self._limit = limit

    async def check(self, spends):
        charge = Charge(self._limit, spends[0].subject, spends[0].cost)
        verdicts = await self.store.spend_all("acme", [charge])
        return wire.check_response(Decision([Standing(self._limit, verdicts[0])], degraded=False))

    async def lease(self, limit, units, *, subject=""):
        lease_id = secrets.token_hex(16)
        granted, wait_us = await self.store.lease("acme", lease_id, self._limit, subject, units)
        return wire.lease_response(Lease(lease_id, granted, lease_ttl_us(self._limit), wait_us))

    async def return_lease(self, lease_id, units):
        assert await self.store.return_lease("acme", lease_id, units)


async def test_leasing_callers_admit_no_more_than_the_capacity(redis_url):
    limit = RateLimit("leased", 400, int(WINDOW_S * 1e6))
    servers = [Direct(redis_url, limit) for _ in range(4)]
    callers = [LeasedLimits(server) for server in servers]
    intervals: list[tuple[float, float, int]] = []
    ends = time.monotonic() + 2.2

    async def call(leased: LeasedLimits) -> None:
        while (sent := time.monotonic()) < ends:
            answer = await leased.spend("leased")
            if answer.admitted:
                intervals.append((sent, time.monotonic(), 1))
                await asyncio.sleep(0.001)
            else:
                await asyncio.sleep(0.01)

    await asyncio.gather(*(call(caller) for caller in callers for _ in range(2)))
    for caller, server in zip(callers, servers, strict=True):
        await caller.close()
        await server.store.close()
    assert 100 < proven_max(intervals, WINDOW_S) <= limit.capacity_units


async def test_slots_are_granted_once(redis_url):
    servers = [RedisStore(redis_url, timeout_s=10) for _ in range(4)]
    rooms = SlotLimit("rooms", 5)
    holdings = await asyncio.gather(
        *(servers[n % 4].acquire("acme", rooms, f"room-{n}", 30_000_000) for n in range(40))
    )
    for store in servers:
        await store.close()
    assert sum(holding.acquired for holding in holdings) == 5
