"""Every RPC over a gRPC socket, with in-memory stores."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import grpc
import pytest
from envoy.extensions.common.ratelimit.v3 import ratelimit_pb2 as envoy_pb2
from envoy.service.ratelimit.v3 import rls_pb2, rls_pb2_grpc
from hocket.errors.v1.reason_pb2 import Reason
from hocket.ratelimit.v1 import ledger_pb2, ledger_pb2_grpc, ratelimit_pb2, ratelimit_pb2_grpc

from hocket.chassis import errors
from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel
from hocket.chassis.circuit_breaker import CircuitBreaker
from hocket.chassis.clock import SystemClock
from hocket.chassis.server import Assembly, MeshServer, Servicer
from hocket.chassis.settings import ServerSettings
from hocket.chassis.status import mesh_errors
from hocket.client.ledger import LedgerClient
from hocket.client.ratelimit import RateLimitClient
from services.ratelimit import envoy_server, server
from services.ratelimit.adapters.memory_ledger import MemoryLedger
from services.ratelimit.adapters.memory_store import MemoryStore
from services.ratelimit.errors import LedgerUnavailable, StoreUnavailable
from services.ratelimit.flow import CostLedger, Limiter
from services.ratelimit.limits.limit_file import parse_limit_file
from tests.fakes.waiting import DEADLINE_S

SECRET = "a-secret-of-32-bytes-for-tests-only!"
MINTER = TokenMinter(SECRET)
TABLE = parse_limit_file("""
[rates.llm_requests]
window_s = 60
free = 3
standard = 5
premium = 0
[rates.rag_queries]
window_s = 60
free = 400
standard = 400
premium = 400
[slots.rooms]
free = 1
standard = 2
premium = 0
""")


@pytest.fixture(autouse=True)
def long_decision_timeouts(monkeypatch):
    """Give decisions longer than the client's default deadline, which a busy machine misses."""
    for method in vars(RateLimitClient).values():
        defaults = getattr(method, "__kwdefaults__", None) or {}
        if "timeout_s" in defaults:
            monkeypatch.setitem(defaults, "timeout_s", DEADLINE_S)


class UnavailableBackend:
    """A store or ledger that is unavailable, or hangs."""

    hangs = False

    def __init__(self) -> None:
        self.called = asyncio.Event()

    def __getattr__(self, name: str):
        async def unavailable(*_):
            self.called.set()
            if self.hangs:
                await asyncio.sleep(3600)
            raise (
                LedgerUnavailable("unavailable", retry_after_s=1)
                if name in {"record", "sums"}
                else StoreUnavailable("unavailable")
            )

        return unavailable


class Mesh:
    """A running service, and a client of one tenant."""

    def __init__(self, port: int) -> None:
        self.target = f"127.0.0.1:{port}"

    @asynccontextmanager
    async def channel(self, tenant: str = "acme", tier: str = "standard"):
        token = MINTER.mint(tenant, tenant_tier=tier, caller="test")
        async with MeshChannel(self.target, lambda: token) as channel:
            yield channel

    @asynccontextmanager
    async def limits(self, tenant: str = "acme", tier: str = "standard"):
        async with self.channel(tenant, tier) as channel:
            yield RateLimitClient(channel)

    @asynccontextmanager
    async def ledger(self, tenant: str = "acme"):
        async with self.channel(tenant) as channel:
            yield LedgerClient(channel)


@asynccontextmanager
async def serving(shared=None, ledger=None, **settings):
    def now_us() -> int:
        # The clock stands still, so that the duration of a call does not change the results.
        return 1_000_000_000

    clock = SystemClock()
    ids = iter(f"{n:032x}" for n in range(1, 1000))
    limiter = Limiter(
        table=TABLE,
        shared=shared or MemoryStore(now_us),
        local=MemoryStore(now_us),
        breaker=CircuitBreaker(),
        clock=clock,
        new_lease_id=lambda: next(ids),
    )
    limits = server.RateLimitServicer(limiter)
    ledger_servicer = server.LedgerServicer(CostLedger(ledger or MemoryLedger(), clock))
    envoy = envoy_server.EnvoyServicer(limiter, frozenset(TABLE.rates))
    assembly = Assembly(
        [
            Servicer("limits", lambda s: ratelimit_pb2_grpc.add_RateLimitServiceServicer_to_server(limits, s)),
            Servicer("ledger", lambda s: ledger_pb2_grpc.add_LedgerServiceServicer_to_server(ledger_servicer, s)),
            Servicer(envoy_server.FULL_NAME, lambda s: envoy_server.add_to(envoy, s)),
        ]
    )
    running = MeshServer("ratelimit_test", ServerSettings(jwt_secret=SECRET, drain_grace_s=0.2, **settings), assembly)
    await running.start()
    try:
        yield Mesh(running.grpc_port)
    finally:
        await running.stop()


def spend(limit: str = "llm_requests", cost: int = 1, subject: str = "") -> ratelimit_pb2.Spend:
    return ratelimit_pb2.Spend(limit=limit, cost=cost, subject=subject)


def event(number: int = 1, **changes) -> ledger_pb2.CostEvent:
    made = ledger_pb2.CostEvent(
        event_id=f"0192d3a4-0000-7000-8000-{number:012d}",
        kind=ledger_pb2.COST_KIND_LLM,
        provider="anthropic",
        model="sonnet",
        cost_micro_usd=100,
        quantities={"input_tokens": 7},
        room="r1",
        tier="smart",
        outcome=ledger_pb2.COST_OUTCOME_OK,
    )
    made.occurred_at.GetCurrentTime()
    made.MergeFrom(ledger_pb2.CostEvent(**changes))
    return made


async def test_check_admits_up_to_the_limit_of_the_tokens_tier():
    async with serving() as mesh, mesh.limits() as standard, mesh.limits("small", "free") as free:
        answers = [await standard.check([spend()]) for _ in range(6)]
        assert [a.admitted for a in answers] == [True] * 5 + [False]
        assert [a.standings[0].remaining for a in answers] == [4, 3, 2, 1, 0, 0]
        last = answers[-1].standings[0]
        assert (last.capacity, last.window.seconds, last.limit) == (5, 60, "llm_requests")
        assert last.wait.ToMilliseconds() == 60_000
        assert [(await free.check([spend()])).admitted for _ in range(4)] == [True] * 3 + [False]


async def test_check_is_all_or_nothing():
    async with serving() as mesh, mesh.limits() as client:
        response = await client.check([spend("rag_queries", 10), spend(cost=6)])
        assert not response.admitted
        assert [s.admitted for s in response.standings] == [True, False]
        assert not response.standings[1].HasField("wait")
        assert (await client.get_wait_time("rag_queries")).remaining == 400


async def test_require_raises_resource_exhausted_with_the_wait():
    async with serving() as mesh, mesh.limits() as client:
        await client.require("llm_requests", 5)
        with pytest.raises(errors.ResourceExhausted) as caught:
            await client.require("llm_requests")
        assert caught.value.retry_after_s == 60
        with pytest.raises(errors.ResourceExhausted, match="split it"):
            await client.require("llm_requests", 6)


async def test_get_wait_time_spends_nothing():
    async with serving() as mesh, mesh.limits() as client:
        for _ in range(20):
            standing = await client.get_wait_time("llm_requests", 5)
        assert (standing.admitted, standing.remaining, standing.wait.ToMilliseconds()) == (True, 5, 0)


@pytest.mark.parametrize(
    ("spends", "field"),
    [
        ([], "spends"),
        ([spend("Bad Name")], "spends[0].limit"),
        ([spend(cost=-1)], "spends[0].cost"),
        ([spend(), spend()], "spends[1]"),
        ([spend("rag_queries"), spend(subject="x" * 129)], "spends[1].subject"),
    ],
)
async def test_malformed_check_names_the_field(spends, field):
    async with serving() as mesh, mesh.limits() as client:
        with pytest.raises(errors.InvalidArgument) as caught:
            await client.check(spends)
    assert list(caught.value.fields) == [field]


async def test_unknown_limit_is_not_found():
    async with serving() as mesh, mesh.limits() as client:
        for call in (client.check([spend("unheard")]), client.get_wait_time("unheard"), client.acquire("unheard", "r")):
            with pytest.raises(errors.NotFound) as caught:
                await call
            assert caught.value.reason == "LIMIT_NOT_FOUND"
    assert Reason.Value("REASON_LIMIT_NOT_FOUND")
    assert Reason.Value("REASON_LEASE_NOT_FOUND")


async def test_slots_are_acquired_renewed_and_released():
    async with serving() as mesh, mesh.limits() as client:
        taken = [await client.acquire("rooms", f"r{n}", ttl_s=30) for n in range(3)]
        assert [(t.acquired, t.in_use, t.capacity) for t in taken] == [(True, 1, 2), (True, 2, 2), (False, 2, 2)]
        assert (await client.acquire("rooms", "r0")).acquired
        await client.release("rooms", "r0")
        await client.release("rooms", "r0")
        assert (await client.acquire("rooms", "r2")).acquired
        with pytest.raises(errors.InvalidArgument) as caught:
            await client.acquire("rooms", "")
        assert "holder" in caught.value.fields
        with pytest.raises(errors.InvalidArgument) as caught:
            await client.acquire("rooms", "r", ttl_s=0.2)
        assert "ttl" in caught.value.fields


async def test_check_stream_answers_batches_in_order():
    async with serving() as mesh, mesh.channel() as channel:
        stub = ratelimit_pb2_grpc.RateLimitServiceStub(channel.channel)
        call = stub.CheckStream(**channel.options(DEADLINE_S))
        await call.write(ratelimit_pb2.CheckStreamRequest(batch_id=7, limits=["llm_requests"] * 6))
        first = await call.read()
        assert (first.batch_id, first.admitted) == (7, bytes([1, 1, 1, 1, 1, 0]))  # type: ignore[attr-defined]
        assert list(first.wait_ms[:5]) == [0] * 5  # type: ignore[attr-defined]
        assert 59_000 <= first.wait_ms[5] <= 60_000  # type: ignore[attr-defined]
        await call.write(
            ratelimit_pb2.CheckStreamRequest(
                batch_id=8, limits=["llm_requests", "rag_queries"], costs=[6, 2], subjects=["", "u"]
            )
        )
        second = await call.read()
        assert (second.batch_id, second.admitted, list(second.wait_ms)) == (8, bytes([0, 1]), [-1, 0])  # type: ignore[attr-defined]
        await call.write(ratelimit_pb2.CheckStreamRequest(limits=["llm_requests"], costs=[1, 2]))
        with pytest.raises(errors.InvalidArgument) as caught, mesh_errors():
            await call.read()
        assert "costs" in caught.value.fields


async def test_lease_is_granted_and_returned_once():
    async with serving() as mesh, mesh.channel() as channel:
        stub = ratelimit_pb2_grpc.RateLimitServiceStub(channel.channel)
        lease = await stub.Lease(
            ratelimit_pb2.LeaseRequest(limit="rag_queries", units=50), **channel.options(DEADLINE_S)
        )
        assert (lease.units, lease.ttl.ToMilliseconds(), len(lease.lease_id)) == (50, 1000, 32)
        back = ratelimit_pb2.ReturnRequest(lease_id=lease.lease_id, units=20)
        await stub.Return(back, **channel.options(DEADLINE_S))
        assert (await RateLimitClient(channel).get_wait_time("rag_queries")).remaining == 370
        with pytest.raises(errors.NotFound) as caught, mesh_errors():
            await stub.Return(back, **channel.options(DEADLINE_S))
        assert caught.value.reason == "LEASE_NOT_FOUND"
        with pytest.raises(errors.InvalidArgument), mesh_errors():
            await stub.Lease(ratelimit_pb2.LeaseRequest(limit="rag_queries", units=0), **channel.options(DEADLINE_S))
        with pytest.raises(errors.InvalidArgument), mesh_errors():
            await stub.Return(ratelimit_pb2.ReturnRequest(lease_id="x"), **channel.options(DEADLINE_S))


async def test_without_redis_decisions_are_marked_degraded():
    async with serving(shared=UnavailableBackend()) as mesh, mesh.limits() as client, mesh.channel() as channel:
        answers = [await client.check([spend()]) for _ in range(6)]
        assert [(a.admitted, a.degraded) for a in answers] == [(True, True)] * 5 + [(False, True)]
        slot = await client.acquire("rooms", "r")
        assert (slot.acquired, slot.degraded) == (True, True)
        await client.release("rooms", "r")
        stub = ratelimit_pb2_grpc.RateLimitServiceStub(channel.channel)
        waited = await stub.GetWaitTime(ratelimit_pb2.GetWaitTimeRequest(spend=spend()), **channel.options(DEADLINE_S))
        assert waited.degraded
        lease = await stub.Lease(
            ratelimit_pb2.LeaseRequest(limit="rag_queries", units=50), **channel.options(DEADLINE_S)
        )
        assert (lease.units, lease.wait.seconds) == (0, 1)
        with pytest.raises(errors.Unavailable), mesh_errors():
            await stub.Return(ratelimit_pb2.ReturnRequest(lease_id="a" * 32), **channel.options(DEADLINE_S))


async def test_call_without_token_is_refused_by_all_three_services():
    async with serving() as mesh, MeshChannel(mesh.target, lambda: "") as channel:
        calls = [
            RateLimitClient(channel).check([spend()]),
            LedgerClient(channel).get_costs(),
            rls_pb2_grpc.RateLimitServiceStub(channel.channel).ShouldRateLimit(
                rls_pb2.RateLimitRequest(domain="d"), timeout=DEADLINE_S
            ),
        ]
        for call in calls:
            with pytest.raises(errors.Unauthenticated), mesh_errors():
                await call  # type: ignore[misc]


async def test_deadline_holds_and_a_cancelled_call_does_not_harm_the_server():
    slow = UnavailableBackend()
    slow.hangs = True
    async with serving(shared=slow, ledger=slow) as mesh, mesh.limits() as client, mesh.ledger() as ledger:
        with pytest.raises(errors.DeadlineExceeded):
            await client.check([spend()], timeout_s=0.2)
        slow.called.clear()
        task = asyncio.create_task(ledger.get_costs(timeout_s=600))
        await asyncio.wait_for(slow.called.wait(), DEADLINE_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        slow.hangs = False
        assert (await client.check([spend()], timeout_s=DEADLINE_S)).degraded


async def test_overloaded_service_raises_unavailable_not_resource_exhausted():
    slow = UnavailableBackend()
    slow.hangs = True
    async with serving(shared=slow, concurrent_rpcs_max=1) as mesh, mesh.limits() as client:
        first = asyncio.create_task(client.check([spend()], timeout_s=600))
        await asyncio.wait_for(slow.called.wait(), DEADLINE_S)
        with pytest.raises(errors.Unavailable) as caught:
            await client.require("llm_requests", timeout_s=DEADLINE_S)
        assert caught.value.reason == "OVERLOADED"
        first.cancel()


async def test_costs_are_recorded_once_and_summed_per_tenant():
    async with serving() as mesh, mesh.ledger() as ledger, mesh.ledger("other") as other:
        first = await ledger.record_costs([event(1), event(2, speculative=True), event(2)])
        assert (first.recorded, first.duplicates) == (2, 1)
        again = await ledger.record_costs([event(2), event(3, tier="fast")])
        assert (again.recorded, again.duplicates) == (1, 1)
        costs = await ledger.get_costs()
        assert costs.total_micro_usd == 300
        assert [(s.tier, s.events, s.cost_micro_usd, dict(s.quantities)) for s in costs.sums] == [
            ("fast", 1, 100, {"input_tokens": 7}),
            ("smart", 2, 200, {"input_tokens": 14}),
        ]
        assert (await other.get_costs()).total_micro_usd == 0
        assert costs.cached_input_share == costs.sums[0].cached_input_share == 0
        await ledger.record_costs([event(4, quantities={"input_tokens": 7, "cached_input_tokens": 28})])
        assert (await ledger.get_costs()).cached_input_share == pytest.approx(28 / 56)
        assert (await ledger.get_costs(room="r2")).total_micro_usd == 0
        assert (await ledger.get_costs(end=datetime(2021, 1, 1, tzinfo=UTC))).total_micro_usd == 0
        with pytest.raises(errors.InvalidArgument) as caught:
            await ledger.get_costs(start=datetime(2022, 1, 1, tzinfo=UTC), end=datetime(2021, 1, 1, tzinfo=UTC))
        assert "end_time" in caught.value.fields


async def test_malformed_event_names_the_field_and_records_nothing():
    async with serving() as mesh, mesh.ledger() as ledger:
        bad = event(2)
        bad.event_id = "not-a-uuid"
        odd = event(3)
        odd.occurred_at.seconds = 10**14
        for wrong, field in ((bad, "events[1].event_id"), (odd, "events[1].occurred_at")):
            with pytest.raises(errors.InvalidArgument) as caught:
                await ledger.record_costs([event(1), wrong])
            assert list(caught.value.fields) == [field]
        assert (await ledger.get_costs()).total_micro_usd == 0


async def test_without_postgres_recording_is_unavailable_with_a_retry_delay():
    async with serving(ledger=UnavailableBackend()) as mesh, mesh.ledger() as ledger:
        for call in (ledger.record_costs([event()]), ledger.get_costs()):
            with pytest.raises(errors.Unavailable) as caught:
                await call
            assert caught.value.retry_after_s == 1


def descriptor(*entries: tuple[str, str]) -> envoy_pb2.RateLimitDescriptor:
    made = envoy_pb2.RateLimitDescriptor()
    for key, value in entries:
        made.entries.add(key=key, value=value)
    return made


async def should_rate_limit(channel, *descriptors, domain="edge", hits=0) -> rls_pb2.RateLimitResponse:
    stub = rls_pb2_grpc.RateLimitServiceStub(channel.channel)
    request = rls_pb2.RateLimitRequest(domain=domain, descriptors=descriptors, hits_addend=hits)
    return await stub.ShouldRateLimit(request, **channel.options(DEADLINE_S))


async def test_envoy_gets_ok_up_to_the_limit_then_over_limit():
    async with serving() as mesh, mesh.channel() as channel:
        limit = descriptor(("limit", "llm_requests"), ("user", "u1"))
        answers = [await should_rate_limit(channel, limit, descriptor(("path", "/a"))) for _ in range(6)]
        assert [a.overall_code for a in answers] == [rls_pb2.RateLimitResponse.OK] * 5 + [
            rls_pb2.RateLimitResponse.OVER_LIMIT
        ]
        first, unlimited = answers[0].statuses
        assert (first.limit_remaining, first.current_limit.requests_per_unit) == (4, 5)
        assert first.current_limit.unit == rls_pb2.RateLimitResponse.RateLimit.MINUTE
        assert not unlimited.HasField("current_limit")
        assert answers[5].statuses[0].duration_until_reset.seconds == 60
        assert answers[5].statuses[1].code == rls_pb2.RateLimitResponse.OK
        other = descriptor(("limit", "llm_requests"), ("user", "u2"))
        assert (await should_rate_limit(channel, other, hits=5)).statuses[0].limit_remaining == 0


async def test_envoy_descriptors_may_repeat_and_have_their_own_hits():
    async with serving() as mesh, mesh.channel() as channel:
        heavy = descriptor(("limit", "llm_requests"))
        heavy.hits_addend.value = 3
        answer = await should_rate_limit(channel, heavy, descriptor(("limit", "llm_requests")))
        assert [s.limit_remaining for s in answer.statuses] == [1, 1]


async def test_malformed_envoy_request_is_refused():
    async with serving() as mesh, mesh.channel() as channel:
        for call in (should_rate_limit(channel), should_rate_limit(channel, descriptor(("a", "b")), domain="")):
            with pytest.raises(errors.InvalidArgument), mesh_errors():
                await call


async def test_cancelled_stream_ends_on_the_server():
    async with serving() as mesh, mesh.channel() as channel:
        stub = ratelimit_pb2_grpc.RateLimitServiceStub(channel.channel)
        call = stub.CheckStream(**channel.options(DEADLINE_S))
        await call.write(ratelimit_pb2.CheckStreamRequest(limits=["llm_requests"]))
        await call.read()
        call.cancel()
        assert await call.code() == grpc.StatusCode.CANCELLED
        assert (await RateLimitClient(channel).check([spend()], timeout_s=DEADLINE_S)).admitted
