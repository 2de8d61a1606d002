"""Replicas of the router share mixes, conversations and breakers through a real Redis, and live on without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import redis.asyncio

from services.llm_router.adapters.state import memory_state, redis_state
from services.llm_router.adapters.state.redis_state import BREAKERS_KEY, UNREADABLE, RedisState
from services.llm_router.chat.request import MixMode, Tier
from services.llm_router.routing.circuit_breaker import ModelCircuitBreaker
from services.llm_router.routing.sessions import Session, WarmCache
from services.llm_router.routing.tier_mix import tie_break
from tests.fakes.waiting import DEADLINE_S

SHARES = {Tier.SIMPLE: 0.60, Tier.MODERATE: 0.25, Tier.COMPLEX: 0.15}
SESSION = Session(Tier.COMPLEX, "claude-sonnet-5-5", 1, {"claude-sonnet-5-5": WarmCache(1500, 2e9)}, 1e9)


@pytest.fixture(autouse=True)
def patience(monkeypatch) -> None:
    """On a busy machine a first connection takes longer than a request may wait."""
    monkeypatch.setattr(redis_state, "TIMEOUT_S", 2.0)


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
    async with asyncio.timeout(DEADLINE_S):
        while not await true():  # noqa: ASYNC110 - what is awaited lies in Redis, which sets no event
            await asyncio.sleep(0.01)


async def test_three_replicas_hold_a_shared_mix(redis_url: str):
    served: list[Tier] = []
    async with replicas(redis_url, 3) as states:
        for number in range(450):
            state = states[number % 3]
            mix = await state.mix("acme", MixMode.SHARE, "generate", SHARES)
            placed = mix.place(0.2, MixMode.SHARE, tie_break(mix.total))
            mix.count(0.2, placed.tier)
            state.count("acme", MixMode.SHARE, "generate", SHARES, placed.tier)
            served.append(placed.tier)
            await asyncio.sleep(0.003)
        late = RedisState(redis_url)
        heard = await late.mix("acme", MixMode.SHARE, "generate", SHARES)
        await late.close()
    assert sum(abs(served.count(t) / len(served) - SHARES[t]) for t in Tier) <= 0.02
    assert heard.total == 450


async def test_a_session_is_found_by_another_replica(redis_url: str):
    async with replicas(redis_url, 2) as (one, other):
        one.store_session("acme", "c", SESSION)

        async def found() -> bool:
            return await other.load_session("acme", "c") == SESSION

        await until(found)
        assert await other.load_session("globex", "c") is None


async def test_pending_writes_are_flushed_at_shutdown(redis_url: str):
    sessions = {f"c{number}": replace(SESSION, easier_turns=number) for number in range(50)}
    async with replicas(redis_url, 1) as (state,):
        for name, session in sessions.items():
            state.store_session("acme", name, session)
            # Some are on their way and some still wait.
            await asyncio.sleep(0)
    async with replicas(redis_url, 1) as (other,):
        assert {name: await other.load_session("acme", name) for name in sessions} == sessions


async def test_a_frozen_redis_does_not_delay_shutdown(monkeypatch):
    monkeypatch.setattr(redis_state, "CLOSE_TIMEOUT_S", 0.05)
    accepted: list[asyncio.StreamWriter] = []
    async with await asyncio.start_server(lambda _, writer: accepted.append(writer), "127.0.0.1", 0) as frozen:
        state = RedisState(f"redis://127.0.0.1:{frozen.sockets[0].getsockname()[1]}")
        state.start()
        state.store_session("acme", "c", SESSION)
        async with asyncio.timeout(DEADLINE_S):
            await state.close()
        for writer in accepted:
            writer.close()


async def test_an_open_breaker_is_shared_with_other_replicas(redis_url: str):
    opened = ModelCircuitBreaker(5, 2e9, 2.0, 0.0, changed_s=1e9)
    async with replicas(redis_url, 2) as (one, other):
        one.publish_breaker("gemini/x/k", opened)

        async def heard() -> bool:
            return other.breakers.get("gemini/x/k") == opened

        await until(heard)


async def test_one_replica_probes_after_each_pause(redis_url: str):
    async with replicas(redis_url, 5) as states:
        claims = await asyncio.gather(*(s.claim_probe("gemini/x/k", 1e9) for s in states))
        later = await asyncio.gather(*(s.claim_probe("gemini/x/k", 1e9 + 2) for s in states))
    assert (sum(claims), sum(later)) == (1, 1)


def passed_over(use: str) -> float:
    return UNREADABLE.labels(use)._value.get()


async def key_of(server: redis.asyncio.Redis, kind: str) -> str:
    (key,) = [key async for key in server.scan_iter(f"hocket:llm_router:{kind}:*")]
    return key


@pytest.mark.parametrize("text", ["{}", "[1]", "x", '["COMPLEX", "m", 0, {}, 0]', '[2, "m", 0, {"m": [1]}, 0]', "7"])
async def test_a_session_in_the_format_of_another_version_is_new(redis_url: str, text: str):
    before = passed_over("session")
    async with redis.asyncio.from_url(redis_url) as server, replicas(redis_url, 1) as (state,):
        await server.set("hocket:llm_router:session:acme:c", text)
        assert await state.load_session("acme", "c") is None
        assert passed_over("session") == before + 1
        state.store_session("acme", "c", SESSION)

        async def written() -> int:
            return await state.load_session("acme", "c") == SESSION

        await until(written)


@pytest.mark.parametrize("text", [b"{}", b"[1, 2]", b"x", b'["a", 0, 0, 0, 0]', b"[0, 0, 0, 0, 0, 0]", b"[" * 100_000])
async def test_an_unreadable_breaker_hides_no_other(redis_url: str, text: bytes):
    opened = ModelCircuitBreaker(5, 2e9, 2.0, 0.0, changed_s=1e9)
    before = passed_over("breakers")
    async with redis.asyncio.from_url(redis_url) as server, replicas(redis_url, 2) as (one, other):
        await server.hset(BREAKERS_KEY, "a/foreign/one", text)
        one.publish_breaker("gemini/x/k", opened)

        async def heard() -> bool:
            return other.breakers.get("gemini/x/k") == opened

        await until(heard)
        assert "a/foreign/one" not in other.breakers
    assert passed_over("breakers") > before


async def test_invalid_utf_8_does_not_end_the_breaker_subscription(redis_url: str):
    opened = ModelCircuitBreaker(5, 2e9, 2.0, 0.0, changed_s=1e9)
    async with redis.asyncio.from_url(redis_url) as server, replicas(redis_url, 2) as (one, other):
        await server.hset(BREAKERS_KEY, "a/foreign/one", b"\xff\xfe")
        await asyncio.sleep(0.7)
        await server.delete(BREAKERS_KEY)
        one.publish_breaker("gemini/x/k", opened)

        async def heard() -> bool:
            return other.breakers.get("gemini/x/k") == opened

        await until(heard)


async def test_an_invalid_count_hides_no_other(redis_url: str):
    async with redis.asyncio.from_url(redis_url, decode_responses=True) as server:
        async with replicas(redis_url, 1) as (state,):
            await state.mix("acme", MixMode.SHARE, "generate", SHARES)
            for tier in (Tier.SIMPLE, Tier.MODERATE, Tier.MODERATE):
                state.count("acme", MixMode.SHARE, "generate", SHARES, tier)
        key, before = await key_of(server, "mix"), passed_over("mix")
        await server.hset(key, "SIMPLE", "many")
        async with replicas(redis_url, 1) as (state,):
            mix = await state.mix("acme", MixMode.SHARE, "generate", SHARES)
            assert (mix.remote[Tier.SIMPLE], mix.remote[Tier.MODERATE], passed_over("mix")) == (0, 2, before + 1)
            # What is told back of the good counts is heard, and its own request is not taken for another's.
            await server.hincrby(key, "MODERATE", 5)
            mix.count(0.4, Tier.MODERATE)
            state.count("acme", MixMode.SHARE, "generate", SHARES, Tier.MODERATE)

            async def heard() -> bool:
                return mix.remote[Tier.MODERATE] == 7

            await until(heard)


async def test_evicted_mixes_drop_their_redis_counts(redis_url: str, monkeypatch):
    monkeypatch.setattr(memory_state, "MIXES_MAX", 3)
    other_shares = {Tier.SIMPLE: 0.5, Tier.MODERATE: 0.25, Tier.COMPLEX: 0.25}
    async with replicas(redis_url, 1) as (state,):
        for number in range(10):
            await state.mix(f"tenant-{number}", MixMode.SHARE, "generate", SHARES)
            await state.mix(f"tenant-{number}", MixMode.SHARE, "generate", other_shares)
        assert len(state._shared) == 3


async def test_sessions_expire_after_an_hour_and_mixes_after_a_month(redis_url: str):
    async with redis.asyncio.from_url(redis_url, decode_responses=True) as server:
        async with replicas(redis_url, 1) as (state,):
            state.store_session("acme", "c", SESSION)
            state.count("acme", MixMode.SHARE, "generate", SHARES, Tier.SIMPLE)
        assert 3500 < await server.ttl(await key_of(server, "session")) <= 3600
        assert 29 * 86_400 < await server.ttl(await key_of(server, "mix")) <= 30 * 86_400


async def test_without_redis_each_process_continues_with_local_state():
    async with replicas("redis://127.0.0.1:1/0", 1) as (state,):
        mix = await state.mix("acme", MixMode.SHARE, "generate", SHARES)
        mix.count(0.2, Tier.SIMPLE)
        state.count("acme", MixMode.SHARE, "generate", SHARES, Tier.SIMPLE)
        state.store_session("acme", "c", SESSION)
        assert await state.load_session("acme", "c") == SESSION
        again = await state.mix("acme", MixMode.SHARE, "generate", SHARES)
        assert await state.claim_probe("gemini/x/k", 1e9)
    assert again.served[Tier.SIMPLE] == 1


async def test_a_failed_session_write_does_not_restore_an_earlier_turn(redis_url: str, monkeypatch):
    async with replicas(redis_url, 1) as (state,):
        state.store_session("acme", "late", SESSION)

        async def written() -> bool:
            return await state._redis.exists("hocket:llm_router:session:acme:late")  # type: ignore[return-value]

        await until(written)
        later = replace(SESSION, tier=Tier.SIMPLE, seen_s=SESSION.seen_s + 60)
        monkeypatch.setattr(state, "_push", lambda _: None)
        state.store_session("acme", "late", later)
        assert await state.load_session("acme", "late") == later
