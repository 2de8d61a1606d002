"""MemoryStore and RedisStore give the same answers on the same clock."""

from __future__ import annotations

import asyncio

import pytest
import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ratelimit.adapters import redis_store
from services.ratelimit.adapters.memory_store import MemoryStore
from services.ratelimit.adapters.redis_store import RedisStore
from services.ratelimit.errors import StoreUnavailable
from services.ratelimit.limits.rate_limits import Algorithm, Charge, RateLimit, SlotLimit

W = 60_000_000
EXACT = RateLimit("exact", 10, W)
COARSE = RateLimit("coarse", 5000, W)
SMOOTH = RateLimit("smooth", 20, W, Algorithm.SMOOTH)
ROOMS = SlotLimit("rooms", 2)
T0 = 1_763_800_000_000_000


class MemoryHarness:
    def __init__(self) -> None:
        self.now_us = T0
        self.store = MemoryStore(lambda: self.now_us)

    async def set(self, now_us: int) -> None:
        self.now_us = now_us

    async def close(self) -> None: ...


class RedisHarness:
    """A real Redis whose scripts read the time from two keys instead of TIME."""

    def __init__(self, url: str) -> None:
        self.store = RedisStore(url, timeout_s=30)
        self.now_us = T0

    async def set(self, now_us: int) -> None:
        self.now_us = now_us
        await self.store._redis.mset({"clock:s": now_us // 1_000_000, "clock:us": now_us % 1_000_000})

    async def close(self) -> None:
        await self.store._redis.flushdb()
        await self.store.close()


@pytest.fixture(autouse=True)
def _virtual_clock(monkeypatch):
    for name in ("_DECIDE", "_LEASE", "_RETURN_LEASE", "_SLOTS"):
        script = redis_store._Script("log.lua")
        script.text = getattr(redis_store, name).text.replace(
            "redis.call('TIME')", "{ redis.call('GET', 'clock:s'), redis.call('GET', 'clock:us') }"
        )
        assert "clock:s" in script.text
        script.sha = redis_store.sha1(script.text.encode()).hexdigest()  # type: ignore[attr-defined]
        monkeypatch.setattr(redis_store, name, script)


@pytest.fixture(params=["memory", "redis"])
async def harness(request):
    made = MemoryHarness() if request.param == "memory" else RedisHarness(request.getfixturevalue("redis_url"))
    await made.set(T0)
    yield made
    await made.close()


async def one(harness, limit: RateLimit, cost: int, subject: str = "", tenant: str = "acme"):
    return (await harness.store.spend_all(tenant, [Charge(limit, subject, cost)]))[0]


async def test_capacity_is_free_again_after_the_window(harness):
    assert (await one(harness, EXACT, 10)).remaining_units == 0
    await harness.set(T0 + W - 1)
    denied = await one(harness, EXACT, 1)
    assert (denied.fits, denied.wait_us) == (False, 1)
    await harness.set(T0 + W)
    assert (await one(harness, EXACT, 10)).fits


async def test_tenants_and_subjects_have_separate_buckets(harness):
    assert (await one(harness, EXACT, 10, "u1")).fits
    assert not (await one(harness, EXACT, 1, "u1")).fits
    assert (await one(harness, EXACT, 10, "u2")).fits
    assert (await one(harness, EXACT, 10, "u1", tenant="other")).fits


async def test_spend_all_is_all_or_nothing(harness):
    charges = [Charge(EXACT, "", 3), Charge(COARSE, "", 5), Charge(SMOOTH, "", 11)]
    verdicts = await harness.store.spend_all("acme", charges)
    assert [(v.fits, v.wait_us) for v in verdicts] == [(True, 0), (True, 0), (False, None)]
    assert [(await harness.store.peek("acme", c)).remaining_units for c in charges] == [10, 5000, 10]


async def test_spend_each_decides_rows_in_order(harness):
    rows = [Charge(EXACT, "", 6), Charge(EXACT, "", 6), Charge(EXACT, "", 4), Charge(SMOOTH, "", 10)]
    assert [v.fits for v in await harness.store.spend_each("acme", rows)] == [True, False, True, True]


async def test_spend_each_decides_a_thousand_rows(harness):
    rows = [Charge(COARSE, str(n % 7), 10) for n in range(1000)]
    verdicts = await harness.store.spend_each("acme", rows)
    assert (len(verdicts), all(v.fits for v in verdicts)) == (1000, True)


async def test_peek_spends_nothing(harness):
    for _ in range(50):
        assert (await harness.store.peek("acme", Charge(EXACT, "", 10))).fits


async def test_lease_counts_for_a_window_from_its_end(harness):
    limit = RateLimit("leased", 40, W)
    assert await harness.store.lease("acme", "a" * 32, limit, "", 40) == (10, 0)
    assert (await one(harness, limit, 30)).remaining_units == 0
    await harness.set(T0 + W)
    assert (await harness.store.peek("acme", Charge(limit, "", 1))).remaining_units == 30
    await harness.set(T0 + W + 1_000_000)
    assert (await harness.store.peek("acme", Charge(limit, "", 1))).remaining_units == 40


async def test_lease_is_returned_once_by_its_tenant_and_up_to_its_units(harness):
    limit = RateLimit("leased", 40, W)
    await harness.store.lease("acme", "a" * 32, limit, "", 40)
    assert await harness.store.return_lease("other", "a" * 32, 1) is None
    assert await harness.store.return_lease("acme", "a" * 32, 11) == 10
    assert await harness.store.return_lease("acme", "a" * 32, 7) == 10
    assert await harness.store.return_lease("acme", "a" * 32, 1) is None
    assert (await harness.store.peek("acme", Charge(limit, "", 1))).remaining_units == 37


async def test_slots_are_acquired_renewed_released_and_expire(harness):
    async def acquire(holder: str, tenant: str = "acme"):
        holding = await harness.store.acquire(tenant, ROOMS, holder, 10_000_000)
        return holding.acquired, holding.in_use

    assert [await acquire("a"), await acquire("b"), await acquire("c")] == [(True, 1), (True, 2), (False, 2)]
    assert await acquire("a", tenant="other") == (True, 1)
    await harness.set(T0 + 9_000_000)
    assert await acquire("a") == (True, 2)
    await harness.store.release("acme", ROOMS, "b")
    await harness.store.release("acme", ROOMS, "b")
    assert await acquire("c") == (True, 2)
    await harness.set(T0 + 19_000_000)
    assert await acquire("d") == (True, 1)


async def test_clock_set_back_neither_loses_nor_locks_units(harness):
    for now in (T0, T0 - 2 * W, T0 - W // 2, T0, T0 + 1):
        await harness.set(now)
        await one(harness, EXACT, 4)
        await one(harness, SMOOTH, 4)
    await harness.set(T0 + 3 * W)
    assert (await one(harness, EXACT, 10)).remaining_units == 0
    assert (await one(harness, SMOOTH, 10)).remaining_units == 0


step = st.tuples(
    st.one_of(st.sampled_from([0, 1, W - 1, W, -W, -2_000_000]), st.integers(0, W // 3)),
    st.sampled_from([EXACT, COARSE, SMOOTH]),
    st.one_of(st.integers(1, 12), st.integers(1, 5100)),
    st.sampled_from(["spend", "peek", "lease", "return"]),
)


@given(st.lists(step, min_size=1, max_size=40))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_both_stores_give_the_same_answers_to_random_operations(redis_url, steps):
    async def scenario() -> None:
        harnesses = [MemoryHarness(), RedisHarness(redis_url)]
        try:
            for number, (delta, limit, units, action) in enumerate(steps):
                answers = []
                for harness in harnesses:
                    await harness.set(harness.now_us + delta)  # type: ignore[attr-defined]
                    answers.append(await act(harness.store, f"{number:032x}", limit, units, action))  # type: ignore[attr-defined]
                assert answers[0] == answers[1], (number, delta, limit.name, units, action)
        finally:
            for harness in harnesses:
                await harness.close()  # type: ignore[attr-defined]

    async def act(store, lease_id, limit, units, action):
        charge = Charge(limit, "", units)
        match action:
            case "spend":
                return await store.spend_all("acme", [charge])
            case "peek":
                return await store.peek("acme", charge)
            case "lease" if limit is not SMOOTH:
                return await store.lease("acme", lease_id, limit, "", units + 4)
            case _:
                return await store.return_lease("acme", f"{int(lease_id, 16) - 1:032x}", units)

    asyncio.run(scenario())


async def test_scripts_are_reloaded_after_a_flush(redis_url):
    harness = RedisHarness(redis_url)
    await harness.set(T0)
    assert (await one(harness, EXACT, 1)).fits
    await harness.store._redis.script_flush()
    assert (await one(harness, EXACT, 1)).remaining_units == 8
    await harness.close()


async def test_keys_expire_and_carry_their_tenant(redis_url):
    harness = RedisHarness(redis_url)
    await harness.set(T0)
    for limit in (EXACT, COARSE, SMOOTH):
        await one(harness, limit, 1, "u")
    await harness.store.lease("acme", "a" * 32, COARSE, "u", 100)
    await harness.store.acquire("acme", ROOMS, "r", 10_000_000)
    keys = [key async for key in harness.store._redis.scan_iter("hocket:rl:*")]
    assert len(keys) == 5
    for key in keys:
        assert "{acme}" in key
        assert 0 < await harness.store._redis.pttl(key) <= 70_000
    await harness.close()


async def test_failing_redis_raises_store_unavailable(redis_url):
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        await client.set("hocket:rl:{acme}:log:exact:", "not a sorted set")
    harness = RedisHarness(redis_url)
    await harness.set(T0)
    with pytest.raises(StoreUnavailable, match="ResponseError"):
        await one(harness, EXACT, 1)
    await harness.close()
