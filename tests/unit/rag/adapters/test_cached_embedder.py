"""CachedEmbedder caches query vectors for a day, per tenant, with or without Redis."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from hocket.chassis.errors import Unavailable
from services.rag.adapters.cached_embedder import CachedEmbedder
from services.rag.embedding.vectors import Vectors


class Counting:
    model = "m@1"
    ranks = True

    def __init__(self) -> None:
        self.calls = 0

    async def embed(self, tenant_id, texts, *, query):
        self.calls += 1
        return Vectors(self.model, [[0.5, -0.25] for _ in texts])

    async def forget(self, tenant_id):
        pass


class Clock:
    now = 0.0

    def monotonic(self):
        return self.now


class Redis:
    """Replaces the redis.asyncio client: the methods that CachedEmbedder uses."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.unavailable = False

    def _check(self):
        if self.unavailable:
            raise RedisConnectionError("unavailable")

    async def get(self, key):
        self._check()
        return self.values.get(key)

    async def set(self, key, value, ex):
        self._check()
        self.values[key] = value

    async def scan_iter(self, match, count):
        self._check()
        for key in [key for key in self.values if key.startswith(match.removesuffix("*"))]:
            yield key

    async def unlink(self, key):
        del self.values[key]


async def ask(cache, tenant_id="acme", text="q"):
    return list((await cache.embed(tenant_id, [text], query=True)).values[0])


async def test_query_is_embedded_once_a_day():
    behind, clock = Counting(), Clock()
    cache = CachedEmbedder(behind, None, clock)
    assert [0.5, -0.25] == await ask(cache) == await ask(cache)
    assert behind.calls == 1
    clock.now = 24 * 3600 + 1
    await ask(cache)
    assert behind.calls == 2


async def test_entries_are_per_tenant_and_text_and_documents_are_not_cached():
    behind = Counting()
    cache = CachedEmbedder(behind, None, Clock())
    await ask(cache)
    await ask(cache, "globex")
    await ask(cache, text="r")
    await cache.embed("acme", ["q"], query=False)
    assert behind.calls == 4


async def test_replicas_share_vectors_through_redis():
    redis, first, second = Redis(), Counting(), Counting()
    assert await ask(CachedEmbedder(first, redis, Clock())) == await ask(CachedEmbedder(second, redis, Clock()))
    assert (first.calls, second.calls) == (1, 0)


async def test_failing_redis_or_malformed_entries_fall_back_to_the_vendor():
    redis, behind = Redis(), Counting()
    redis.unavailable = True
    assert await ask(CachedEmbedder(behind, redis, Clock())) == [0.5, -0.25]
    redis.unavailable = False
    await ask(CachedEmbedder(behind, redis, Clock()))
    redis.values = dict.fromkeys(redis.values, b"abc")
    assert await ask(CachedEmbedder(behind, redis, Clock())) == [0.5, -0.25]
    assert behind.calls == 3


async def test_forget_deletes_the_entries_of_one_tenant():
    redis, behind = Redis(), Counting()
    cache = CachedEmbedder(behind, redis, Clock())
    await ask(cache)
    await ask(cache, "acme2")
    await cache.forget("acme")
    assert [key.rpartition(":")[0] for key in redis.values] == ["rag:vector:acme2"]
    await ask(cache)
    assert behind.calls == 3


async def test_forget_without_redis_raises_unavailable():
    redis = Redis()
    redis.unavailable = True
    with pytest.raises(Unavailable):
        await CachedEmbedder(Counting(), redis, Clock()).forget("acme")
