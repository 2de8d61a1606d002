"""Cache of query vectors, for one day: in this process, and in Redis for all replicas. It saves latency."""

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
from hocket.chassis.redis_problem import redis_problem
from services.rag.embedding.vectors import Vectors
from services.rag.ports import Embedder

_TTL_S = 24 * 3600
_ENTRIES_MAX = 4096
# A cache that answers later than this saves too little time over the vendor.
_REDIS_TIMEOUT_S = 0.02
_FORGET_TIMEOUT_S = 10.0
_LOOKUPS = Counter(
    "hocket_rag_vector_cache_lookups",
    "Query vector lookups by where it was found: process, redis, redis_failed, nowhere.",
    ["found"],
)


class CachedEmbedder:
    """Implements ports.Embedder: caches the query vectors of another embedder. Without Redis, in the process alone.

    The tenant is a part of each key: the response time reveals nothing about the queries of other tenants, and
    entries are deleted together with their tenant.
    """

    def __init__(self, embedder: Embedder, redis: Redis | None, clock: Clock) -> None:
        """Create an empty cache.

        Args:
            embedder: Makes the vectors.
            redis: Shared cache, closed by the caller; None caches in the process alone.
            clock: Source of monotonic time.
        """
        self._embedder = embedder
        self._redis = redis
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, Sequence[float]]] = OrderedDict()

    @property
    def model(self) -> str:
        """Model of the cached embedder."""
        return self._embedder.model

    @property
    def ranks(self) -> bool:
        """Whether the vectors of the cached embedder rank passages."""
        return self._embedder.ranks

    async def embed(self, tenant_id: str, texts: Sequence[str], *, query: bool) -> Vectors:
        """Return vectors; a call with a single query uses the cache."""
        if not query or len(texts) != 1:
            return await self._embedder.embed(tenant_id, texts, query=query)
        key = self._key(tenant_id, texts[0])
        cached = self._get(key)
        if cached is None and (cached := await self._redis_get(key)) is not None:
            self._set(key, cached)
        if cached is not None:
            return Vectors(self.model, [cached])
        _LOOKUPS.labels("nowhere").inc()
        vectors = await self._embedder.embed(tenant_id, texts, query=True)
        self._set(key, vectors.values[0])
        await self._redis_set(key, vectors.values[0])
        return vectors

    async def forget(self, tenant_id: str) -> None:
        """Delete the tenant's entries here and in Redis. Entries in other replicas' processes expire within a day.

        Raises:
            Unavailable: Redis cannot be reached; entries remain.
        """
        prefix = _prefix(tenant_id)
        for key in [key for key in self._entries if key.startswith(prefix)]:
            del self._entries[key]
        if self._redis is not None:
            await self._forget_in_redis(self._redis, prefix)
        await self._embedder.forget(tenant_id)

    async def _forget_in_redis(self, redis: Redis, prefix: str) -> None:
        try:
            async with asyncio.timeout(_FORGET_TIMEOUT_S):
                # Tenant ids hold no pattern characters. redis-py does not type the keys.
                keys = cast("AsyncIterator[bytes]", redis.scan_iter(match=f"{prefix}*", count=1000))  # pyright: ignore[reportUnknownMemberType]
                async for key in keys:
                    await redis.unlink(key)
        except (RedisError, OSError, TimeoutError) as error:
            # Fail closed: the deletion of a tenant must not be reported as done.
            problem = f"Redis did not answer, cached query vectors remain; retry: {redis_problem(error)}"
            raise Unavailable(problem, retry_after_s=1) from error

    def _key(self, tenant_id: str, text: str) -> str:
        return _prefix(tenant_id) + hashlib.sha256(f"{self.model}\0{text}".encode()).hexdigest()

    def _get(self, key: str) -> Sequence[float] | None:
        entry = self._entries.get(key)
        if entry is None or self._clock.monotonic() - entry[0] > _TTL_S:
            return None
        self._entries.move_to_end(key)
        _LOOKUPS.labels("process").inc()
        return entry[1]

    def _set(self, key: str, vector: Sequence[float]) -> None:
        self._entries[key] = (self._clock.monotonic(), vector)
        self._entries.move_to_end(key)
        while len(self._entries) > _ENTRIES_MAX:
            self._entries.popitem(last=False)

    async def _redis_get(self, key: str) -> Sequence[float] | None:
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

    async def _redis_set(self, key: str, vector: Sequence[float]) -> None:
        if self._redis is None:
            return
        try:
            async with asyncio.timeout(_REDIS_TIMEOUT_S):
                await self._redis.set(key, array("f", vector).tobytes(), ex=_TTL_S)
        except (RedisError, OSError, TimeoutError):
            _LOOKUPS.labels("redis_failed").inc()


def open_redis(url: str) -> Redis:
    """Return a client that connects on first use; the caller closes it."""
    return Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType] - redis-py types its options as unknown


def _prefix(tenant_id: str) -> str:
    return f"rag:vector:{tenant_id}:"
