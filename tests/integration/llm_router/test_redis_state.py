"""Replicas of the router share mixes, conversations and breakers through a real Redis, and live on without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.llm_router.adapters.redis_state import RedisState
from services.llm_router.breaker import Breaker
from services.llm_router.conversation import MixMode, Tier
from services.llm_router.mix import tie_of
from services.llm_router.sessions import Session, Warm

SHARES = {Tier.SIMPLE: 0.60, Tier.MODERATE: 0.25, Tier.COMPLEX: 0.15}
SESSION = Session(Tier.COMPLEX, "claude-sonnet-5-5", 1, {"claude-sonnet-5-5": Warm(1500, 2e9)}, 1e9)


@asynccontextmanager
async def replicas(url: str, count: int) -> AsyncIterator[list[RedisState]]:
    states = [RedisState(url) for _ in range(count)]
    for state in states:
        state.start()
    try:
        yield states
    finally:
        for state in states:
            await state.close()


async def until(true) -> None:
    async with asyncio.timeout(5):
        while not await true():  # noqa: ASYNC110 - what is awaited lies in Redis, which sets no event
            await asyncio.sleep(0.01)


async def test_three_replicas_hold_one_mix_together(redis_url: str):
    served: list[Tier] = []
    async with replicas(redis_url, 3) as states:
        for number in range(450):
            state = states[number % 3]
            mix = await state.mix("acme", MixMode.SHARE, "generate", SHARES)
            placed = mix.place(0.2, MixMode.SHARE, tie_of(mix.total))
            mix.count(0.2, placed.tier)
            state.count("acme", MixMode.SHARE, "generate", SHARES, placed.tier)
            served.append(placed.tier)
            await asyncio.sleep(0.003)
        late = RedisState(redis_url)
        heard = await late.mix("acme", MixMode.SHARE, "generate", SHARES)
        await late.close()
    assert sum(abs(served.count(t) / len(served) - SHARES[t]) for t in Tier) <= 0.03
    assert heard.total == 450


async def test_a_conversation_is_found_by_another_replica(redis_url: str):
    async with replicas(redis_url, 2) as (one, other):
        one.store_session("acme", "c", SESSION)

        async def found() -> bool:
            return await other.load_session("acme", "c") == SESSION

        await until(found)
        assert await other.load_session("globex", "c") is None


async def test_a_breaker_that_opens_here_is_open_there(redis_url: str):
    opened = Breaker(5, 2e9, 2.0, 0.0, changed_s=1e9)
    async with replicas(redis_url, 2) as (one, other):
        one.share_breaker("gemini/x/k", opened)

        async def heard() -> bool:
            return other.breakers.get("gemini/x/k") == opened

        await until(heard)


async def test_of_all_replicas_one_probes_each_time_a_pause_ends(redis_url: str):
    async with replicas(redis_url, 5) as states:
        claims = await asyncio.gather(*(s.claim_probe("gemini/x/k", 1e9) for s in states))
        later = await asyncio.gather(*(s.claim_probe("gemini/x/k", 1e9 + 2) for s in states))
    assert (sum(claims), sum(later)) == (1, 1)


async def test_without_redis_each_process_goes_on_with_what_it_knows():
    async with replicas("redis://127.0.0.1:1/0", 1) as (state,):
        mix = await state.mix("acme", MixMode.SHARE, "generate", SHARES)
        mix.count(0.2, Tier.SIMPLE)
        state.count("acme", MixMode.SHARE, "generate", SHARES, Tier.SIMPLE)
        state.store_session("acme", "c", SESSION)
        assert await state.load_session("acme", "c") == SESSION
        again = await state.mix("acme", MixMode.SHARE, "generate", SHARES)
        assert await state.claim_probe("gemini/x/k", 1e9)
    assert again.served[Tier.SIMPLE] == 1
