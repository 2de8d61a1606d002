"""State shared through Redis: sessions, mix counts, breakers. Fails open to the state of this process, counted.

Requests wait for reads only, at most `TIMEOUT_S`; writes happen in the background. A mix is decided on the counts of
this process plus those of other replicas at the last write, so that requests that start together are counted exactly;
each write returns the other counts. Rows written by an incompatible version are ignored and counted.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections import deque
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, cast

import redis.asyncio
import structlog
from prometheus_client import Counter
from redis.exceptions import RedisError

from hocket.chassis.redis_problem import redis_problem
from services.llm_router.adapters.state.memory_state import MemoryState, MixKey
from services.llm_router.chat.request import MixMode, Tier
from services.llm_router.ports import SharedState
from services.llm_router.routing.circuit_breaker import PROBE_MAX_S, ModelCircuitBreaker
from services.llm_router.routing.sessions import SESSION_TTL_S, Session, WarmCache
from services.llm_router.routing.tier_mix import TierMix

_log = structlog.get_logger()
TIMEOUT_S = 0.03
CONNECT_TIMEOUT_S = 0.2
CLOSE_TIMEOUT_S = 2.0
PENDING_MAX = 10_000
BREAKERS_PERIOD_S = 0.5
MIX_TTL_S = 30 * 86_400
BREAKERS_KEY = "hocket:llm_router:breakers"
FAILED_OPEN = Counter("hocket_llm_router_redis_fail_open", "Redis operations that failed open, by use.", ["use"])
UNREADABLE = Counter("hocket_llm_router_redis_unreadable", "Redis rows ignored because of their format.", ["use"])
# Bytes that are not UTF-8 were not written by a router.
_FAILURES = (RedisError, OSError, TimeoutError, UnicodeDecodeError)
# Exceptions of parsing a row of an incompatible version.
_FOREIGN = (ValueError, TypeError, AttributeError, OverflowError, RecursionError)


@dataclass(slots=True)
class _Shared:
    """One mix, and the requests of this process that Redis has counted."""

    mix: TierMix
    acknowledged: dict[Tier, int] = field(default_factory=lambda: dict.fromkeys(Tier, 0))


class RedisState:
    """`MemoryState` shared through Redis."""

    def __init__(self, url: str) -> None:
        """Configure the client for `url`; `start` begins to use it."""
        self._local = MemoryState(self._forget)
        # redis-py leaves the options of from_url untyped.
        self._redis: redis.asyncio.Redis = cast("Any", redis.asyncio.Redis).from_url(
            url, socket_timeout=1.0, socket_connect_timeout=CONNECT_TIMEOUT_S, decode_responses=True
        )
        self._shared: dict[str, _Shared] = {}
        self._pending: deque[tuple[str, Tier] | tuple[str, str]] = deque()
        self._arrived = asyncio.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._closing = False
        self.breakers: dict[str, ModelCircuitBreaker] = {}

    def start(self) -> None:
        """Start the background tasks: writes, and following the breakers of other replicas."""
        empty = contextvars.Context()
        self._tasks = (
            asyncio.create_task(self._write(), context=empty),
            asyncio.create_task(self._follow_breakers(), context=empty),
        )

    async def close(self) -> None:
        """Write pending changes once, for at most `CLOSE_TIMEOUT_S`, and disconnect."""
        self._closing = True
        self._arrived.set()
        if self._tasks:
            writing, following = self._tasks
            following.cancel()
            # Wait instead of cancelling: a cancelled write would be lost.
            await asyncio.wait((writing, following), timeout=CLOSE_TIMEOUT_S)
            writing.cancel()
        await self._redis.aclose()

    async def load_session(self, tenant_id: str, conversation_id: str) -> Session | None:
        """Return the newer session of Redis and this process."""
        own = await self._local.load_session(tenant_id, conversation_id)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                text = await self._redis.get(_session_key(tenant_id, conversation_id))
        except _FAILURES:
            FAILED_OPEN.labels("session").inc()
            return own
        try:
            shared = _session(str(text)) if text else None
        except _FOREIGN:
            UNREADABLE.labels("session").inc()
            return own
        # A failed or pending write must not return the conversation to an earlier turn.
        return max((s for s in (shared, own) if s is not None), key=lambda s: s.seen_s, default=None)

    def store_session(self, tenant_id: str, conversation_id: str, session: Session) -> None:
        """Store here, and in Redis in the background."""
        self._local.store_session(tenant_id, conversation_id, session)
        self._push((_session_key(tenant_id, conversation_id), _session_text(session)))

    def store_text(self, name: str, text: str) -> None:
        """Store here, and in Redis in the background."""
        self._local.store_text(name, text)
        self._push((f"hocket:llm_router:text:{name}", text))

    async def load_text(self, name: str) -> str | None:
        """Return the text stored by any replica, or None."""
        own = await self._local.load_text(name)
        if own is not None:
            return own
        try:
            async with asyncio.timeout(TIMEOUT_S):
                held = await self._redis.get(f"hocket:llm_router:text:{name}")
        except _FAILURES:
            FAILED_OPEN.labels("text").inc()
            return None
        return str(held) if held else None

    async def mix(self, tenant_id: str, mode: MixMode, use: str, shares: Mapping[Tier, float]) -> TierMix:
        """Return the mix; its first use reads the counts of other replicas."""
        mix = await self._local.mix(tenant_id, mode, use, shares)
        key = _mix_key(tenant_id, mode, use, shares)
        shared = self._shared.get(key)
        if shared is None or shared.mix is not mix:
            shared = self._shared[key] = _Shared(mix)
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    counts = cast("Mapping[str, str]", await self._redis.hgetall(key))
            except _FAILURES:
                FAILED_OPEN.labels("mix").inc()
            else:
                self._receive_counts(shared, counts)
        return mix

    def _forget(self, key: MixKey, mix: TierMix) -> None:
        self._shared.pop(_mix_key(*key, mix.shares), None)

    def count(self, tenant_id: str, mode: MixMode, use: str, shares: Mapping[Tier, float], tier: Tier) -> None:
        """Publish one more request in `tier`, in the background."""
        self._push((_mix_key(tenant_id, mode, use, shares), tier))

    def set_local_breaker(self, name: str, breaker: ModelCircuitBreaker) -> None:
        """Set a breaker in this process."""
        self.breakers[name] = breaker

    def publish_breaker(self, name: str, breaker: ModelCircuitBreaker) -> None:
        """Set a breaker, and publish it in the background."""
        self.breakers[name] = breaker
        self._push((f"{BREAKERS_KEY}|{name}", _breaker_text(breaker)))

    async def claim_probe(self, name: str, opened_until_s: float) -> bool:
        """Claim the probe by SET NX; True for the first replica, and when Redis does not answer."""
        key = f"hocket:llm_router:probe:{name}:{int(opened_until_s * 1000)}"
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return bool(await self._redis.set(key, 1, nx=True, px=int(PROBE_MAX_S * 1000)))
        except _FAILURES:
            FAILED_OPEN.labels("probe").inc()
            return True

    def _push(self, change: tuple[str, Tier] | tuple[str, str]) -> None:
        if len(self._pending) >= PENDING_MAX:
            FAILED_OPEN.labels("write").inc()
            return
        self._pending.append(change)
        self._arrived.set()

    async def _write(self) -> None:
        closing = False
        while not closing:
            await self._arrived.wait()
            self._arrived.clear()
            closing = self._closing
            await self._flush()

    async def _flush(self) -> None:
        changes = [self._pending.popleft() for _ in range(len(self._pending))]
        if not changes:
            return
        pipeline = self._redis.pipeline(transaction=False)
        counted: dict[str, dict[Tier, int]] = {}
        for key, value in changes:
            if isinstance(value, Tier):
                tiers = counted.setdefault(key, dict.fromkeys(Tier, 0))
                tiers[value] += 1
            elif key.startswith(BREAKERS_KEY):
                pipeline.hset(BREAKERS_KEY, key.partition("|")[2], value)
            else:
                pipeline.set(key, value, ex=int(SESSION_TTL_S))
        for key, tiers in counted.items():
            for tier in Tier:
                pipeline.hincrby(key, tier.name, tiers[tier])
            pipeline.expire(key, MIX_TTL_S)
        try:
            # A command that Redis rejects must not discard the replies of the others.
            replies: list[Any] = await pipeline.execute(raise_on_error=False)
        except _FAILURES:
            FAILED_OPEN.labels("write").inc()
            return
        FAILED_OPEN.labels("write").inc(sum(isinstance(reply, Exception) for reply in replies))
        self._read_replies(counted, replies)

    def _read_replies(self, counted: Mapping[str, Mapping[Tier, int]], replies: list[Any]) -> None:
        at = len(replies) - len(counted) * (len(Tier) + 1)
        for key, tiers in counted.items():
            totals = dict(zip(Tier, replies[at : at + len(Tier)], strict=True))
            at += len(Tier) + 1
            shared = self._shared.get(key)
            if shared is not None:
                taken = {tier: total for tier, total in totals.items() if not isinstance(total, Exception)}
                for tier in taken:
                    shared.acknowledged[tier] += tiers[tier]
                self._receive_counts(shared, {tier.name: total for tier, total in taken.items()})

    @staticmethod
    def _receive_counts(shared: _Shared, totals: Mapping[str, str | int]) -> None:
        for tier in (t for t in Tier if t.name in totals):
            try:
                total = int(totals[tier.name])
            except ValueError:
                UNREADABLE.labels("mix").inc()
                continue
            shared.mix.set_remote(tier, max(total - shared.acknowledged[tier], 0))

    async def _follow_breakers(self) -> None:
        logged = ""
        while True:
            await asyncio.sleep(BREAKERS_PERIOD_S)
            try:
                rows = cast("Mapping[str, str]", await self._redis.hgetall(BREAKERS_KEY))
            except _FAILURES as error:
                FAILED_OPEN.labels("breakers").inc()
                problem = redis_problem(error)
                if problem != logged:
                    _log.warning("state is not shared: Redis does not answer", problem=problem)
                logged = problem
                continue
            logged = ""
            for name, text in rows.items():
                self._receive_breaker(name, text)

    def _receive_breaker(self, name: str, text: str) -> None:
        try:
            theirs, ours = _breaker(text), self.breakers.get(name)
        except _FOREIGN:
            UNREADABLE.labels("breakers").inc()
            return
        if ours is None or theirs.changed_s > ours.changed_s:
            self.breakers[name] = theirs


def open_state(url: str | None, resources: AsyncExitStack) -> SharedState:
    """Return state shared through the Redis at `url`, or in memory where it is None; `resources` closes it."""
    if url is None:
        return MemoryState()
    state = RedisState(url)
    state.start()
    resources.push_async_callback(state.close)
    return state


def _session_key(tenant_id: str, conversation_id: str) -> str:
    return f"hocket:llm_router:session:{tenant_id}:{conversation_id}"


def _mix_key(tenant_id: str, mode: MixMode, use: str, shares: Mapping[Tier, float]) -> str:
    split = "/".join(f"{shares[tier]:g}" for tier in Tier)
    return f"hocket:llm_router:mix:{tenant_id}:{mode.value}:{use}:{split}"


def _session_text(session: Session) -> str:
    warm = {alias: [w.tokens, w.until_s, w.ttl_s] for alias, w in session.warm.items()}
    row = [session.tier.value, session.model, session.easier_turns, warm, session.seen_s]
    return json.dumps(row, separators=(",", ":"))


def _session(text: str) -> Session:
    tier, model, easier, warm, seen_s = json.loads(text)
    # Rows of earlier versions have two columns.
    told = {str(alias): WarmCache(int(tokens), *map(float, times)) for alias, (tokens, *times) in warm.items()}
    return Session(Tier(tier), str(model), int(easier), told, float(seen_s))


def _breaker_text(breaker: ModelCircuitBreaker) -> str:
    return json.dumps(
        [breaker.failures, breaker.open_until_s, breaker.pause_s, breaker.probe_until_s, breaker.changed_s]
    )


def _breaker(text: str) -> ModelCircuitBreaker:
    failures, open_until_s, pause_s, probe_until_s, changed_s = json.loads(text)
    return ModelCircuitBreaker(
        int(failures), float(open_until_s), float(pause_s), float(probe_until_s), float(changed_s)
    )
