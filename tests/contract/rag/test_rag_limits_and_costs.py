"""Query limit and recorded costs over gRPC sockets, and searches without the limiter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from hocket.ratelimit.v1 import ledger_pb2, ledger_pb2_grpc, ratelimit_pb2, ratelimit_pb2_grpc
from prometheus_client import REGISTRY

from hocket.chassis import errors, identity
from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel, forwarded_token
from hocket.chassis.clock import SystemClock
from hocket.chassis.server import Assembly, MeshServer, Servicer
from hocket.chassis.settings import ServerSettings
from hocket.client.ledger import CostRecorder
from hocket.client.rag import RagClient
from hocket.client.ratelimit import RateLimitClient
from services.rag.__main__ import build
from services.rag.adapters.hashed_embedder import HashedEmbedder
from services.rag.adapters.memory_store import MemoryStore
from services.rag.adapters.ratelimit import MeshEmbeddingCosts, MeshQueryLimit
from services.rag.embedding.vectors import Vectors
from services.rag.flow import KnowledgeBase
from services.rag.server import FULL_NAME, RagServicer
from services.rag.settings import Settings

SECRET = "a-secret-of-32-bytes-for-tests-only!"
MINTER = TokenMinter(SECRET)
ACME = MINTER.mint("acme", caller="test")


class Limits(ratelimit_pb2_grpc.RateLimitServiceServicer):
    """Admits two queries per tenant, or does not answer."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.failure: errors.MeshError | None = None
        self.stuck = False

    async def Check(self, request, context):
        if self.stuck:
            await asyncio.Event().wait()
        if self.failure:
            raise self.failure
        self.seen.append((identity.current().tenant_id, request.spends[0].limit))
        admitted = len(self.seen) <= 2
        standing = ratelimit_pb2.Standing(limit=request.spends[0].limit, admitted=admitted, capacity=2)
        standing.wait.FromMilliseconds(0 if admitted else 1500)
        return ratelimit_pb2.CheckResponse(admitted=admitted, standings=[standing])


class Ledger(ledger_pb2_grpc.LedgerServiceServicer):
    def __init__(self) -> None:
        self.events: list[tuple[str, ledger_pb2.CostEvent]] = []

    async def RecordCosts(self, request, context):
        self.events.extend((identity.current().tenant_id, event) for event in request.events)
        return ledger_pb2.RecordCostsResponse(recorded=len(request.events))


@asynccontextmanager
async def serving(noun: str, *servicers: Servicer) -> AsyncIterator[str]:
    server = MeshServer(noun, ServerSettings(jwt_secret=SECRET, drain_grace_s=0.2), Assembly(servicers))
    await server.start()
    try:
        yield f"127.0.0.1:{server.grpc_port}"
    finally:
        await server.stop()


def limits_servicer(limits: Limits) -> Servicer:
    return Servicer(
        "hocket.ratelimit.v1.RateLimitService",
        lambda server: ratelimit_pb2_grpc.add_RateLimitServiceServicer_to_server(limits, server),
    )


def ledger_servicer(ledger: Ledger) -> Servicer:
    return Servicer(
        "hocket.ratelimit.v1.LedgerService",
        lambda server: ledger_pb2_grpc.add_LedgerServiceServicer_to_server(ledger, server),
    )


@asynccontextmanager
async def limited_rag(target: str, embedder=None) -> AsyncIterator[RagClient]:
    async with AsyncExitStack() as stack:
        channel = await stack.enter_async_context(MeshChannel(target, forwarded_token))
        limit = MeshQueryLimit(RateLimitClient(channel))
        embedder = embedder or HashedEmbedder()
        knowledge = KnowledgeBase(MemoryStore(), embedder, limit, SystemClock(), passage_bytes_max=1000)
        servicer = RagServicer(knowledge, search_budget_s=0.3)

        def add_to(server):
            from hocket.rag.v1 import rag_pb2_grpc

            rag_pb2_grpc.add_RagServiceServicer_to_server(servicer, server)

        own = await stack.enter_async_context(serving("rag", Servicer(FULL_NAME, add_to)))
        yield RagClient(await stack.enter_async_context(MeshChannel(own, lambda: ACME)))


def unavailable_checks() -> float:
    return REGISTRY.get_sample_value("hocket_limiter_unavailable_total", {"operation": "check"}) or 0.0


async def test_query_is_spent_for_the_callers_tenant_and_a_spent_limit_returns_the_wait():
    limits = Limits()
    async with serving("ratelimit", limits_servicer(limits)) as target, limited_rag(target) as rag:
        await rag.search("tea")
        await rag.search("tea")
        with pytest.raises(errors.ResourceExhausted) as caught:
            await rag.search("tea")
    assert limits.seen == [("acme", "rag_queries")] * 3
    assert (caught.value.reason, caught.value.retry_after_s) == ("RATE_LIMITED", 1.5)


@pytest.mark.parametrize(
    "failure",
    [
        errors.Unavailable("Redis is down"),
        errors.NotFound("no such limit", reason="LIMIT_NOT_FOUND"),
        errors.ResourceExhausted("too many calls", reason="OVERLOADED"),
    ],
)
async def test_queries_pass_and_are_counted_without_a_decision(failure):
    limits = Limits()
    limits.failure = failure
    before = unavailable_checks()
    async with serving("ratelimit", limits_servicer(limits)) as target, limited_rag(target) as rag:
        assert list((await rag.search("tea")).degraded) == []
    assert unavailable_checks() == before + 1


async def test_queries_pass_while_the_limiter_hangs_or_is_down():
    limits = Limits()
    limits.stuck = True
    async with serving("ratelimit", limits_servicer(limits)) as target, limited_rag(target) as rag:
        await rag.search("tea", timeout_s=600)
    async with limited_rag(target) as rag:
        await rag.search("tea", timeout_s=600)


class RecordingEmbedder:
    """An embedder that records costs in the running RPC, as VoyageEmbedder does."""

    model, ranks = "m@1", True

    def __init__(self, costs) -> None:
        self._costs = costs

    async def embed(self, tenant_id, texts, *, query):
        self._costs.record(provider="voyage", model="m", tokens=7, cost_micro_usd=3, outcome="ok")
        return Vectors(self.model, [[1.0] for _ in texts])


async def test_vendor_call_is_one_cost_event_of_the_tenant():
    limits, ledger = Limits(), Ledger()
    async with serving("ratelimit", limits_servicer(limits), ledger_servicer(ledger)) as target:
        async with (
            CostRecorder(target) as recorder,
            limited_rag(target, RecordingEmbedder(MeshEmbeddingCosts(recorder))) as rag,
        ):
            await rag.embed(["a", "b"])
            await rag.search("tea")
    assert [tenant_id for tenant_id, _ in ledger.events] == ["acme", "acme"]
    event = ledger.events[0][1]
    assert (event.kind, event.provider, event.model, event.cost_micro_usd) == (
        ledger_pb2.COST_KIND_EMBEDDING,
        "voyage",
        "m",
        3,
    )
    assert (dict(event.quantities), event.outcome) == ({"input_tokens": 7}, ledger_pb2.COST_OUTCOME_OK)
    assert len({event.event_id for _, event in ledger.events}) == 2


@pytest.mark.parametrize(
    "values",
    [{}, {"voyage_api_key": "pa-x", "redis_url": "redis://127.0.0.1:1", "ratelimit_target": "127.0.0.1:1"}],
)
async def test_service_starts_without_optional_dependencies_and_is_not_ready_without_postgres(values):
    settings = Settings(jwt_secret=SECRET, drain_grace_s=0.2, postgres_url="postgresql://x@127.0.0.1:1/x", **values)
    async with AsyncExitStack() as resources:
        server = MeshServer("rag", settings, await build(settings, resources))
        await server.start()
        problems = server.readiness.problems()
        await server.stop()
    assert list(problems) == ["postgres"]
