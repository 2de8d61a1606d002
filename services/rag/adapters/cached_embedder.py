"""Query vectors kept for a day: in this process, and in Redis for all replicas. The cache buys time, not money."""

from __future__ import annotations

import asyncio
import hashlib
from array import array
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from typing import cast

from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from hocket.chassis.clock import Clock
from hocket.chassis.errors import Unavailable
from services.rag.knowledge import Vectors
from services.rag.ports import Embedder

_TTL_S = 24 * 3600
_ENTRIES_MAX = 4096
# Redis must be quicker than the vendor or it is not worth asking.
_REDIS_TIMEOUT_S = 0.02
_FORGET_TIMEOUT_S = 10.0
_LOOKUPS = Counter("hocket_rag_vector_cache_lookups", "Query vectors looked up, by where they were.", ["found"])


class CachedEmbedder:
    """An Embedder that remembers query vectors of another. Fail-open: without Redis the process remembers alone.

    Entries carry the tenant in their key, so that no tenant can tell by the time taken what another asked, and so
    that they go with their tenant.
    """

    def __init__(self, embedder: Embedder, redis: Redis | None, clock: Clock) -> None:
        """Remember for `embedder`; `redis` stays its owner's to close."""
        self._embedder = embedder
        self._redis = redis
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, Sequence[float]]] = OrderedDict()

    @property
    def model(self) -> str:
        """The model of the embedder behind."""
        return self._embedder.model

    @property
    def ranks(self) -> bool:
        """Whether the vectors behind carry meaning."""
        return self._embedder.ranks

    async def embed(self, tenant_id: str, texts: Sequence[str], *, query: bool) -> Vectors:
        """As the port says; only a single query is remembered."""
        if not query or len(texts) != 1:
            return await self._embedder.embed(tenant_id, texts, query=query)
        key = self._key(tenant_id, texts[0])
        held = self._held(key)
        if held is None and (held := await self._held_in_redis(key)) is not None:
            self._hold(key, held)
        if held is not None:
            return Vectors(self.model, [held])
        _LOOKUPS.labels("nowhere").inc()
        vectors = await self._embedder.embed(tenant_id, texts, query=True)
        self._hold(key, vectors.values[0])
        await self._hold_in_redis(key, vectors.values[0])
        return vectors

    async def forget(self, tenant_id: str) -> None:
        """Drop the tenant's entries here and in Redis; other replicas' own entries end with their day."""
        prefix = _prefix(tenant_id)
        for key in [key for key in self._entries if key.startswith(prefix)]:
            del self._entries[key]
        if self._redis is not None:
            await self._forget_in_redis(self._redis, prefix)
        await self._embedder.forget(tenant_id)

    async def _forget_in_redis(self, redis: Redis, prefix: str) -> None:
        try:
            async with asyncio.timeout(_FORGET_TIMEOUT_S):
                # Tenant ids hold no character that is special in a pattern. redis-py types keys as unknown.
                keys = cast("AsyncIterator[bytes]", redis.scan_iter(match=f"{prefix}*", count=1000))  # pyright: ignore[reportUnknownMemberType]
                async for key in keys:
                    await redis.unlink(key)
        except (RedisError, OSError, TimeoutError) as error:
            # To forget is fail-closed: a deletion must not be reported that did not happen.
            raise Unavailable("Redis does not answer; cached query vectors remain", retry_after_s=1) from error

    def _key(self, tenant_id: str, text: str) -> str:
        return _prefix(tenant_id) + hashlib.sha256(f"{self.model}\0{text}".encode()).hexdigest()

    def _held(self, key: str) -> Sequence[float] | None:
        entry = self._entries.get(key)
        if entry is None or self._clock.monotonic() - entry[0] > _TTL_S:
            return None
        self._entries.move_to_end(key)
        _LOOKUPS.labels("process").inc()
        return entry[1]

    def _hold(self, key: str, vector: Sequence[float]) -> None:
        self._entries[key] = (self._clock.monotonic(), vector)
        self._entries.move_to_end(key)
        while len(self._entries) > _ENTRIES_MAX:
            self._entries.popitem(last=False)

    async def _held_in_redis(self, key: str) -> Sequence[float] | None:
        if self._redis is None:
            return None
        try:
            async with asyncio.timeout(_REDIS_TIMEOUT_S):
                found = await self._redis.get(key)
        except (RedisError, OSError, TimeoutError):
            _LOOKUPS.labels("redis_failed").inc()
            return None
        if not isinstance(found, bytes) or not found or len(found) % 4:
            return None
        _LOOKUPS.labels("redis").inc()
        return array("f", found)

    async def _hold_in_redis(self, key: str, vector: Sequence[float]) -> None:
        if self._redis is None:
            return
        try:
            async with asyncio.timeout(_REDIS_TIMEOUT_S):
                await self._redis.set(key, array("f", vector).tobytes(), ex=_TTL_S)
        except (RedisError, OSError, TimeoutError):
            _LOOKUPS.labels("redis_failed").inc()


def connected(url: str) -> Redis:
    """A client that connects when it is first used; its maker closes it."""
    return Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType] - redis-py types its options as unknown


def _prefix(tenant_id: str) -> str:
    return f"rag:vector:{tenant_id}:"
