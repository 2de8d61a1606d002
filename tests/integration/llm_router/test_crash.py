"""After SIGKILL the next process records the reserved costs exactly once."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from functools import partial

import pytest
from hocket.ratelimit.v1 import ledger_pb2, ledger_pb2_grpc, ratelimit_pb2, ratelimit_pb2_grpc

from hocket.chassis import identity
from hocket.chassis.channel import MeshChannel
from hocket.chassis.errors import MeshError, ResourceExhausted, Unavailable
from hocket.chassis.server import Assembly, MeshServer, Servicer
from hocket.chassis.settings import ServerSettings
from hocket.client.ledger import CostJournal, CostRecorder, EventOrigin
from hocket.client.llm_router import RouterClient
from services.llm_router import flow
from services.llm_router.__main__ import build
from services.llm_router.adapters.mesh import ledger as mesh_ledger
from services.llm_router.adapters.mesh.ledger import open_ledger
from services.llm_router.adapters.vendors import anthropic_provider
from services.llm_router.settings import Settings
from tests.emulators.anthropic_emulator import AnthropicEmulator
from tests.emulators.router_harness import MINTER, SECRET, asking
from tests.emulators.scenario import Scenario
from tests.fakes.waiting import DEADLINE_S, START_S, until

SONNET = "claude-sonnet-5-5"


class Ledger(ledger_pb2_grpc.LedgerServiceServicer):
    def __init__(self) -> None:
        self.events: dict[str, ledger_pb2.CostEvent] = {}
        self.tenants: set[str] = set()

    async def RecordCosts(self, request, context):
        for event in request.events:
            self.events[event.event_id] = event
            self.tenants.add(identity.current().tenant_id)
        return ledger_pb2.RecordCostsResponse(recorded=len(request.events))


class Limits(ratelimit_pb2_grpc.RateLimitServiceServicer):
    def __init__(self) -> None:
        self.left = 10**6
        self.spends: list[dict[str, int]] = []

    async def Check(self, request, context):
        self.left -= 1
        self.spends.append({spend.limit: spend.cost for spend in request.spends})
        standing = ratelimit_pb2.Standing(limit=request.spends[0].limit, admitted=self.left >= 0)
        standing.wait.FromMilliseconds(1500)
        return ratelimit_pb2.CheckResponse(admitted=self.left >= 0, standings=[standing])


@asynccontextmanager
async def ratelimit(ledger: Ledger, limits: Limits) -> AsyncIterator[int]:
    servicers = [
        Servicer(
            "hocket.ratelimit.v1.LedgerService",
            lambda s: ledger_pb2_grpc.add_LedgerServiceServicer_to_server(ledger, s),
        ),
        Servicer(
            "hocket.ratelimit.v1.RateLimitService",
            lambda s: ratelimit_pb2_grpc.add_RateLimitServiceServicer_to_server(limits, s),
        ),
    ]
    server = MeshServer("ratelimit_test", ServerSettings(jwt_secret=SECRET, drain_grace_s=0.2), Assembly(servicers))
    await server.start()
    try:
        yield server.grpc_port
    finally:
        await server.stop()


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@asynccontextmanager
async def router(vendor: str, limits_port: int, journal: str, **more: str) -> AsyncIterator[tuple[RouterClient, int]]:
    port = free_port()
    env = {
        **os.environ,
        "HOCKET_LLM_ROUTER_GRPC_PORT": str(port),
        "HOCKET_LLM_ROUTER_JWT_SECRET": SECRET,
        "HOCKET_LLM_ROUTER_ANTHROPIC_API_KEY": "k",
        "HOCKET_LLM_ROUTER_ANTHROPIC_BASE_URL": vendor,
        "HOCKET_LLM_ROUTER_RATELIMIT_TARGET": f"127.0.0.1:{limits_port}",
        "HOCKET_LLM_ROUTER_COST_JOURNAL_FILE": journal,
        **more,
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "services.llm_router", env=env)
    token = MINTER.mint("acme", caller="test")
    try:
        async with MeshChannel(f"127.0.0.1:{port}", lambda: token) as channel:
            await asyncio.wait_for(channel.channel.channel_ready(), START_S)
            yield RouterClient(channel), process.pid
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def drain(client: RouterClient, on_event=lambda _: None) -> list:
    seen = []
    async with aclosing(client.generate(asking("Hello?", pin_model=SONNET), timeout_s=DEADLINE_S)) as events:
        async for event in events:
            seen.append(event)
            on_event(event)
    return seen


async def test_no_cost_is_lost_or_doubled_when_the_process_is_killed(tmp_path):
    ledger, vendor = Ledger(), await AnthropicEmulator().start()
    journal = str(tmp_path / "costs")
    try:
        async with ratelimit(ledger, Limits()) as port:
            async with router(vendor.url, port, journal) as (client, pid):
                finish = (await drain(client))[-1].finish
                vendor.always("*", Scenario(text="word " * 500, between_s=0.05))
                spoke = asyncio.Event()
                asked = asyncio.create_task(drain(client, lambda event: event.text_delta and spoke.set()))  # type: ignore[func-returns-value]
                await asyncio.wait_for(spoke.wait(), DEADLINE_S)
                os.kill(pid, signal.SIGKILL)
                with pytest.raises(Unavailable):
                    await asked
            async with router(vendor.url, port, journal):
                await until(lambda: len(ledger.events) == len(vendor.bill) == 2)
    finally:
        await vendor.stop()
    assert finish.cost_event_ids[0] in ledger.events
    assert len(vendor.requests) == len(ledger.events) == 2
    assert ledger.tenants == {"acme"}
    killed = next(e for e in ledger.events.values() if e.event_id != finish.cost_event_ids[0])
    assert killed.outcome == ledger_pb2.COST_OUTCOME_FAILED
    assert killed.quantities["input_tokens"] == vendor.bill[-1].input_tokens


async def test_a_process_killed_before_the_first_output_leaves_its_reservation(tmp_path):
    ledger, vendor = Ledger(), await AnthropicEmulator().start()
    vendor.always("*", Scenario(connect_s=3600))
    journal = str(tmp_path / "costs")
    try:
        async with ratelimit(ledger, Limits()) as port:
            async with router(vendor.url, port, journal) as (client, pid):
                asked = asyncio.create_task(drain(client))
                await until(lambda: vendor.requests)
                os.kill(pid, signal.SIGKILL)
                with pytest.raises(Unavailable):
                    await asked
            async with router(vendor.url, port, journal):
                await until(lambda: ledger.events)
    finally:
        await vendor.stop()
    (killed,) = ledger.events.values()
    assert (killed.outcome, killed.cost_micro_usd) == (ledger_pb2.COST_OUTCOME_FAILED, 0)
    assert killed.quantities["unconfirmed_tokens"] > 0


async def test_an_answer_cut_by_shutdown_is_recorded_before_the_ledger_closes(tmp_path, monkeypatch):
    # A busy machine needs longer for a count, a drain and a booking than a service gives them.
    monkeypatch.setattr(anthropic_provider, "COUNT_TIMEOUT_S", DEADLINE_S)
    monkeypatch.setattr(flow, "DRAIN_TIMEOUT_S", DEADLINE_S)
    monkeypatch.setattr(mesh_ledger, "CostRecorder", partial(CostRecorder, drain_s=DEADLINE_S))
    ledger, vendor = Ledger(), await AnthropicEmulator().start()
    # Then silent: what a vendor still sends while it is left is billed and may never arrive.
    spoken = "word word word word word"
    vendor.always("*", Scenario("stall", text=f"{spoken} word", after=5))
    vendor.count_s = 0.5  # type: ignore[attr-defined]
    try:
        async with ratelimit(ledger, Limits()) as port:
            settings = Settings(
                jwt_secret=SECRET,
                drain_grace_s=0.2,
                anthropic_api_key="k",
                anthropic_base_url=vendor.url,
                ratelimit_target=f"127.0.0.1:{port}",
                cost_journal_file=tmp_path / "costs",
                first_token_timeout_s=120,
                between_tokens_timeout_s=120,
            )
            # In the order in which a process ends: the server first, then what it was built of.
            async with AsyncExitStack() as resources:
                server = MeshServer("llm_router", settings, await build(settings, resources))
                await server.start()
                token = MINTER.mint("acme", caller="test")
                async with MeshChannel(f"127.0.0.1:{server.grpc_port}", lambda: token) as channel:
                    heard = asyncio.Event()
                    asked = asyncio.create_task(drain(RouterClient(channel), hears(spoken, heard)))
                    await asyncio.wait_for(heard.wait(), DEADLINE_S)
                    await server.stop()
                    with pytest.raises(MeshError):
                        await asked
    finally:
        await vendor.stop()
    (cut,) = ledger.events.values()
    assert cut.outcome == ledger_pb2.COST_OUTCOME_CANCELLED
    # Counted by the vendor meanwhile: the estimate of these words is one token more.
    assert cut.quantities["output_tokens"] == vendor.bill[-1].output_tokens == 7


def hears(text: str, heard: asyncio.Event):
    """A listener that sets `heard` once `text` has come in whole."""
    parts = []

    def on_event(event) -> None:
        parts.append(event.text_delta)
        if "".join(parts) == text:
            heard.set()

    return on_event


async def test_a_spent_limit_refuses_with_retry_after_and_a_silent_limiter_fails_open(tmp_path):
    vendor, limits = await AnthropicEmulator().start(), Limits()
    try:
        async with (
            ratelimit(Ledger(), limits) as port,
            router(vendor.url, port, str(tmp_path / "costs")) as (client, _),
        ):
            limits.left = 0
            with pytest.raises(ResourceExhausted) as caught:
                await drain(client)
        assert caught.value.retry_after_s == 1.5
        async with router(vendor.url, free_port(), str(tmp_path / "other")) as (client, _):
            assert (await drain(client))[-1].HasField("finish")
    finally:
        await vendor.stop()


async def test_prompt_tokens_are_charged_before_and_the_rest_after(tmp_path):
    vendor, limits = await AnthropicEmulator().start(), Limits()
    try:
        async with (
            ratelimit(Ledger(), limits) as port,
            router(vendor.url, port, str(tmp_path / "costs")) as (client, _),
        ):
            usage = (await drain(client))[-1].finish.usage
            await until(lambda: len(limits.spends) == 2)
    finally:
        await vendor.stop()
    before, after = limits.spends
    assert before == {"llm_requests": 1, "llm_tokens": before["llm_tokens"]}
    assert before["llm_tokens"] + after["llm_tokens"] == usage.input_tokens + usage.output_tokens


async def test_a_recorded_cost_is_not_replaced_by_an_older_reservation(tmp_path):
    """Killed after the recorder had the end and before the row of the running attempt was settled."""
    middle = ledger_pb2.CostEvent(event_id="one", model="m", cost_micro_usd=2_010)
    end = ledger_pb2.CostEvent(event_id="one", model="m", cost_micro_usd=11_000)
    for name, event in (("costs.begun", middle), ("costs", end)):
        journal = CostJournal(tmp_path / name)
        journal.add(EventOrigin("token", "acme"), event)
        journal.close()
    async with AsyncExitStack() as resources:
        open_ledger("127.0.0.1:1", tmp_path / "costs", None, resources)
        await asyncio.sleep(0)
    journal = CostJournal(tmp_path / "costs")
    assert [event.cost_micro_usd for _, event in journal.pending()] == [11_000]
    journal.close()
