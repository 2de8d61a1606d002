"""Metrics of searches over a gRPC socket."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import REGISTRY

from hocket.chassis import errors
from services.rag.adapters.memory_store import MemoryStore
from tests.contract.rag.test_rag_rpcs import SlowStore, client, serving
from tests.fakes.waiting import DEADLINE_S, until


class DefectiveStore(MemoryStore):
    # Not UNAVAILABLE: the client would try again, and each attempt counts.
    async def lexical(self, *_):
        raise errors.Internal("a defect")


def queries() -> dict[str, float]:
    """Return the count of searches by outcome."""
    family = next(f for f in REGISTRY.collect() if f.name == "hocket_rag_queries")
    return {s.labels["outcome"]: s.value for s in family.samples if s.name.endswith("_total")}


def since(before: dict[str, float]) -> dict[str, float]:
    return {outcome: n for outcome, value in queries().items() if (n := value - before.get(outcome, 0))}


async def test_searches_are_counted_by_outcome(monkeypatch):
    before = queries()
    async with serving() as port, client(port) as rag:
        await rag.search("tea")
        with pytest.raises(errors.InvalidArgument):
            await rag.search("")
    assert since(before) == {"answered": 1, "refused": 1}
    async with serving(DefectiveStore()) as port, client(port) as rag:
        with pytest.raises(errors.Internal):
            await rag.search("tea")
    assert since(before) == {"answered": 1, "refused": 1, "failed": 1}
    # The reply has 29 s instead of 10 ms, which a busy machine exceeds.
    monkeypatch.setattr("services.rag.server._REPLY_S", 29.0)
    async with serving(SlowStore()) as port, client(port) as rag:
        await rag.search("tea", budget_s=30, timeout_s=30)
    assert since(before) == {"answered": 1, "refused": 1, "failed": 1, "degraded": 1}


async def test_a_cancelled_search_is_counted():
    before, store = queries(), SlowStore()
    async with serving(store) as port, client(port) as rag:
        call = asyncio.create_task(rag.search("tea", budget_s=20))
        await asyncio.wait_for(store.called.wait(), DEADLINE_S)
        call.cancel()
        await until(lambda: since(before) == {"cancelled": 1})
