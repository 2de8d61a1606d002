"""What replicas know together, through Redis: conversations, the counts of mixes, breakers. Fails open, counted.

A request never waits for Redis longer than `TIMEOUT_S`, and for reads alone: what it changes is written behind its
back. Mixes are decided on this process's own counts plus those of the others as last heard, so that requests which
start together are counted exactly; each write brings the others' counts back. A row that another version wrote in a
form of its own counts as none.
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
from prometheus_client import Counter
from redis.exceptions import RedisError

from services.llm_router.adapters.state.memory_state import MemoryState, MixKey
from services.llm_router.chat.request import MixMode, Tier
from services.llm_router.ports import SharedState
from services.llm_router.routing.circuit_breaker import PROBE_MAX_S, ModelCircuitBreaker
from services.llm_router.routing.sessions import SESSION_TTL_S, Session, WarmCache
from services.llm_router.routing.tier_mix import TierMix

TIMEOUT_S = 0.03
CONNECT_TIMEOUT_S = 0.2
CLOSE_TIMEOUT_S = 2.0
PENDING_MAX = 10_000
BREAKERS_PERIOD_S = 0.5
MIX_TTL_S = 30 * 86_400
BREAKERS_KEY = "hocket:llm_router:breakers"
FAILED_OPEN = Counter("hocket_llm_router_redis_fail_open", "Uses of Redis given up, by what was wanted.", ["use"])
UNREADABLE = Counter(
    "hocket_llm_router_redis_unreadable", "Times a row of Redis was passed over for its form.", ["use"]
)
# Bytes that are no UTF-8 come from no router: as good as no answer.
_FAILURES = (RedisError, OSError, TimeoutError, UnicodeDecodeError)
# What reading a row of another form raises.
_FOREIGN = (ValueError, TypeError, AttributeError, OverflowError, RecursionError)


@dataclass(slots=True)
class _Shared:
    """One mix: how many of this process's own requests Redis has heard of."""

    mix: TierMix
    acknowledged: dict[Tier, int] = field(default_factory=lambda: dict.fromkeys(Tier, 0))


class RedisState:
    """LocalState shared through Redis."""

    def __init__(self, url: str) -> None:
        """Connect lazily to `url`; begin with `start`."""
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
        """Begin to write and to follow the breakers of others."""
        empty = contextvars.Context()
        self._tasks = (
            asyncio.create_task(self._write(), context=empty),
            asyncio.create_task(self._follow_breakers(), context=empty),
        )

    async def close(self) -> None:
        """Write what is pending, once, and let go."""
        self._closing = True
        self._arrived.set()
        if self._tasks:
            writing, following = self._tasks
            following.cancel()
            # Bounded, and not by cancelling what is being written: it would be lost.
            await asyncio.wait((writing, following), timeout=CLOSE_TIMEOUT_S)
            writing.cancel()
        await self._redis.aclose()

    async def load_session(self, tenant_id: str, conversation_id: str) -> Session | None:
        """The conversation as the last replica left it: the newer of what Redis and this process remember."""
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
        # A write that failed, or is still on its way, must not send the conversation back to an earlier turn.
        return max((s for s in (shared, own) if s is not None), key=lambda s: s.seen_s, default=None)

    def store_session(self, tenant_id: str, conversation_id: str, session: Session) -> None:
        """Keep the conversation here and, soon, there."""
        self._local.store_session(tenant_id, conversation_id, session)
        self._push((_session_key(tenant_id, conversation_id), _session_text(session)))

    def store_text(self, name: str, text: str) -> None:
        """Keep `text` here and, soon, there."""
        self._local.store_text(name, text)
        self._push((f"hocket:llm_router:text:{name}", text))

    async def load_text(self, name: str) -> str | None:
        """What any replica remembers."""
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
        """The mix; the first time with what other replicas have counted."""
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
        """One more request in `tier`, told to the others soon."""
        self._push((_mix_key(tenant_id, mode, use, shares), tier))

    def set_local_breaker(self, name: str, breaker: ModelCircuitBreaker) -> None:
        """Keep a breaker for this process alone."""
        self.breakers[name] = breaker

    def publish_breaker(self, name: str, breaker: ModelCircuitBreaker) -> None:
        """Tell the others of a breaker that changed."""
        self.breakers[name] = breaker
        self._push((f"{BREAKERS_KEY}|{name}", _breaker_text(breaker)))

    async def claim_probe(self, name: str, opened_until_s: float) -> bool:
        """Whether this process was the first to ask; also where Redis is silent, and then every replica probes."""
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
            # One row that Redis refuses must not hide what it said of the others.
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
        while True:
            await asyncio.sleep(BREAKERS_PERIOD_S)
            try:
                rows = cast("Mapping[str, str]", await self._redis.hgetall(BREAKERS_KEY))
            except _FAILURES:
                FAILED_OPEN.labels("breakers").inc()
                continue
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
    """State shared through the Redis at `url`, or this process's own where none is given; `resources` closes it."""
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
    # Rows of versions before the last column have two of them.
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
