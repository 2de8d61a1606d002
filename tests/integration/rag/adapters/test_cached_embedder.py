"""CachedEmbedder on a real Redis."""

from __future__ import annotations

from hocket.chassis.clock import SystemClock
from services.rag.adapters.cached_embedder import CachedEmbedder, open_redis
from services.rag.embedding.vectors import Vectors


class Counting:
    model, ranks = "m@2", True

    def __init__(self) -> None:
        self.calls = 0

    async def embed(self, tenant_id, texts, *, query):
        self.calls += 1
        return Vectors(self.model, [[0.5, -0.25]])

    async def forget(self, tenant_id):
        pass


async def test_replicas_share_vectors_for_a_day_and_forget_one_tenant(redis_url, monkeypatch):
    # A loaded machine must not fall back to the vendor.
    monkeypatch.setattr("services.rag.adapters.cached_embedder._REDIS_TIMEOUT_S", 10)
    redis, behind = open_redis(redis_url), Counting()
    first, second = (CachedEmbedder(behind, redis, SystemClock()) for _ in range(2))
    for tenant_id in ("acme", "acme.2"):
        await first.embed(tenant_id, ["tea"], query=True)
    (key,) = await redis.keys("rag:vector:acme:*")
    assert 0 < await redis.ttl(key) <= 24 * 3600
    await second.forget("acme")
    assert [k.decode().split(":")[2] for k in await redis.keys("*")] == ["acme.2"]
    await redis.aclose()
