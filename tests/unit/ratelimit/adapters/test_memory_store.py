"""The memory store keeps a bounded number of buckets."""

from __future__ import annotations

from services.ratelimit.adapters.memory_store import MemoryStore
from services.ratelimit.limits.rate_limits import Charge, RateLimit

LIMIT = RateLimit("x", 1, 1_000_000)


async def test_least_recently_used_bucket_is_evicted():
    store = MemoryStore(lambda: 0, buckets_max=2)

    async def fits(subject: str) -> bool:
        return (await store.spend_all("t", [Charge(LIMIT, subject, 1)]))[0].fits

    assert [await fits(s) for s in ("a", "b", "a", "c", "a", "b")] == [True, True, False, True, False, True]
    assert len(store._logs) == 2
