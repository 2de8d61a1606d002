"""Limits and ledger over real gRPC."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from hocket.ratelimit.v1 import ledger_pb2_grpc, ratelimit_pb2_grpc
from hocket.ratelimit.v1.ledger_pb2 import CostKind, CostOutcome, RecordCostsResponse
from hocket.ratelimit.v1.ratelimit_pb2 import CheckResponse, Standing
from hocket.speech.v1.speech_pb2 import SynthesizeConfig

from hocket.chassis import errors, identity
from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel, forwarded_token
from hocket.chassis.server import Assembly, MeshServer, Servicer
from hocket.chassis.settings import ServerSettings
from hocket.client.ledger import CostRecorder
from hocket.client.ratelimit import RateLimitClient
from services.speech.adapters.ratelimit import MeshLedger, MeshLimits, tenant_token
from services.speech.ports import TTS_LIMIT, Cost
from services.speech.ports import CostOutcome as Outcome
from services.speech.prices import PriceRow
from tests.fakes.waiting import DEADLINE_S

SECRET = "a-secret-of-32-bytes-for-tests-only!"
PRICE = PriceRow("elevenlabs", "eleven_flash_v2_5", "2026-11-01", 50_000, 1_000)


class Limits(ratelimit_pb2_grpc.RateLimitServiceServicer):
    def __init__(self) -> None:
        self.admitted = True
        self.spends: list[tuple[str, str, int]] = []

    async def Check(self, request, context):
        spend = request.spends[0]
        self.spends.append((identity.current().tenant_id, spend.limit, spend.cost))
        return CheckResponse(admitted=self.admitted, standings=[Standing(limit=spend.limit)])


class Ledger(ledger_pb2_grpc.LedgerServiceServicer):
    def __init__(self) -> None:
        self.recorded = []
        self.arrived = asyncio.Event()

    async def RecordCosts(self, request, context):
        self.recorded += [(identity.current().tenant_id, event) for event in request.events]
        self.arrived.set()
        return RecordCostsResponse(recorded=len(request.events))


@asynccontextmanager
async def ratelimit(limits: Limits, ledger: Ledger):
    assembly = Assembly(
        [
            Servicer("l", lambda s: ratelimit_pb2_grpc.add_RateLimitServiceServicer_to_server(limits, s)),
            Servicer("b", lambda s: ledger_pb2_grpc.add_LedgerServiceServicer_to_server(ledger, s)),
        ]
    )
    server = MeshServer("ratelimit_fake", ServerSettings(jwt_secret=SECRET, drain_grace_s=0.2), assembly)
    await server.start()
    try:
        yield f"127.0.0.1:{server.grpc_port}"
    finally:
        await server.stop()


@pytest.fixture
def tenant():
    token = TokenMinter(SECRET).mint("acme", caller="test")
    identity.bind(identity.Identity("acme", "standard", "test", token=token))
    yield
    identity.bind(None)


async def test_a_cost_is_one_event_in_the_tenants_ledger(tenant):
    ledger = Ledger()
    async with ratelimit(Limits(), ledger) as target, CostRecorder(target) as recorder:
        MeshLedger(recorder).record(Cost(TTS_LIMIT, PRICE, 20, 1_000, Outcome.CANCELLED, "lobby"))
        await asyncio.wait_for(ledger.arrived.wait(), DEADLINE_S)
    [(tenant_id, event)] = ledger.recorded
    assert (tenant_id, event.kind, event.outcome) == (
        "acme",
        CostKind.COST_KIND_TTS,
        CostOutcome.COST_OUTCOME_CANCELLED,
    )
    assert (event.provider, event.model, event.price_row) == (
        "elevenlabs",
        "eleven_flash_v2_5",
        "eleven_flash_v2_5@2026-11-01",
    )
    assert (dict(event.quantities), event.cost_micro_usd, event.room) == ({"characters": 20}, 1_000, "lobby")


async def test_a_spent_limit_is_raised_and_an_unreachable_limiter_is_not(tenant):
    limits = Limits()
    async with ratelimit(limits, Ledger()) as target, MeshChannel(target, forwarded_token) as channel:
        asking = MeshLimits(RateLimitClient(channel))
        await asking.spend(TTS_LIMIT, 20)
        limits.admitted = False
        with pytest.raises(errors.ResourceExhausted):
            await asking.spend(TTS_LIMIT, 30)
    assert limits.spends == [("acme", TTS_LIMIT, 20), ("acme", TTS_LIMIT, 30)]
    async with MeshChannel("127.0.0.1:1", forwarded_token) as nowhere:
        await MeshLimits(RateLimitClient(nowhere)).spend(TTS_LIMIT, 20)


async def test_limits_are_spent_with_a_fresh_token_after_the_streams_token_expired():
    minter = TokenMinter(SECRET)
    expired = minter.mint("acme", caller="test", ttl_s=-60)
    identity.bind(identity.Identity("acme", "standard", "test", token=expired))
    limits = Limits()
    async with ratelimit(limits, Ledger()) as target, MeshChannel(target, tenant_token(minter)) as channel:
        await MeshLimits(RateLimitClient(channel)).spend(TTS_LIMIT, 20)
    identity.bind(None)
    assert limits.spends == [("acme", TTS_LIMIT, 20)]


async def test_synthesis_works_without_a_ratelimit_service(serve, tenant):
    async with serve() as mesh:
        assert await mesh.client.say("Hello.", SynthesizeConfig(voice="en-us"))
    await MeshLimits(None).spend(TTS_LIMIT, 20)
