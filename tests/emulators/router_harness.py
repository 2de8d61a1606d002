"""A router on loopback before emulated vendors, with its recorded costs readable by the test."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from hocket.llm_router.v1 import llm_router_pb2 as pb
from hocket.llm_router.v1 import llm_router_pb2_grpc

from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel
from hocket.chassis.server import Assembly, MeshServer, Servicer
from hocket.chassis.settings import ServerSettings
from hocket.client.llm_router import RouterClient
from services.llm_router.adapters.files.outcome_log import OutcomeLog
from services.llm_router.adapters.files.tiers_file import TiersFile
from services.llm_router.adapters.mesh.day_budget import DayBudget
from services.llm_router.adapters.mesh.rate_limits import NoRateLimits
from services.llm_router.adapters.state.memory_state import MemoryState
from services.llm_router.adapters.vendors.access import VendorAccess, open_providers
from services.llm_router.attempts.model_health import ModelHealth
from services.llm_router.attempts.timeouts import AttemptTimeouts
from services.llm_router.billing.attempt_cost import AttemptCost
from services.llm_router.chat.request import MixMode
from services.llm_router.flow import Router
from services.llm_router.ports import RouterPorts
from services.llm_router.routing.complexity import SurfaceScorer
from services.llm_router.server import FULL_NAME, LlmRouterServicer
from tests.emulators.anthropic_emulator import AnthropicEmulator
from tests.emulators.gemini_emulator import GeminiEmulator
from tests.emulators.openai_emulator import OpenAiEmulator

SECRET = "a-secret-of-32-bytes-for-tests-only!"
MINTER = TokenMinter(SECRET)
# No attempt is late, however busy the machine is; a test of a deadline brings its own.
LONG_TIMEOUTS = AttemptTimeouts(first_token_s=60, fallback_first_token_s=60, between_tokens_s=60, total_s=600)
SHORT_TIMEOUTS = AttemptTimeouts(first_token_s=2, fallback_first_token_s=60, between_tokens_s=2, total_s=600)


# Models and prices in the shipped table change by date, so the tests run on a fixed day.
DAY = datetime(2026, 11, 20, 12, tzinfo=UTC)


class FixedDayClock:
    """A clock that starts at `DAY` and runs in real time; tests can move its calendar forward."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._advanced_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return DAY.timestamp() + self._advanced_s + time.monotonic() - self._began

    def advance_calendar(self, seconds: float) -> None:
        """Move the calendar forward by `seconds`; deadlines are not affected."""
        self._advanced_s += seconds


@dataclass
class FakeLedger:
    costs: list[AttemptCost] = field(default_factory=list)
    reserved: list[AttemptCost] = field(default_factory=list)

    def record(self, cost: AttemptCost) -> None:
        self.costs.append(cost)

    def reserve(self, cost: AttemptCost) -> None:
        self.reserved.append(cost)

    @property
    def total_micro_usd(self) -> int:
        return sum(c.cost_micro_usd for c in self.costs)


@dataclass
class RouterHarness:
    anthropic: AnthropicEmulator
    gemini: GeminiEmulator
    openai: OpenAiEmulator
    client: RouterClient
    router: Router
    model_health: ModelHealth
    ledger: FakeLedger
    target: str
    clock: FixedDayClock

    @asynccontextmanager
    async def caller(self, tenant_id: str, tenant_tier: str = "standard") -> AsyncIterator[RouterClient]:
        token = MINTER.mint(tenant_id, tenant_tier=tenant_tier, caller="test")
        async with MeshChannel(self.target, lambda: token) as channel:
            yield RouterClient(channel)

    @property
    def billed_micro_usd(self) -> int:
        return self.anthropic.total_micro_usd + self.gemini.total_micro_usd

    async def answer(self, request: pb.GenerateRequest, timeout_s: float = 600) -> list[pb.GenerateResponse]:
        async with aclosing(self.client.generate(request, timeout_s=timeout_s)) as events:
            return [event async for event in events]


@asynccontextmanager
async def running_router(
    limits: AttemptTimeouts = LONG_TIMEOUTS,
    mode: MixMode = MixMode.SHARE,
    budget_micro_usd: int = 0,
    outcomes_file: Path | None = None,
    tiers_file: Path | None = None,
) -> AsyncIterator[RouterHarness]:
    async with AsyncExitStack() as stack:
        clock, ledger = FixedDayClock(), FakeLedger()
        anthropic, gemini, openai = (e(clock.time) for e in (AnthropicEmulator, GeminiEmulator, OpenAiEmulator))
        for emulator in (anthropic, gemini, openai):
            await emulator.start()
            stack.push_async_callback(emulator.stop)
        tables = TiersFile(tiers_file, lambda t: t.with_vendor_model("openai-compatible", "local-model"), clock.time)
        access = VendorAccess("key", anthropic.url, "key", gemini.url, openai.url, None)
        providers = open_providers(access, clock, ledger, tables, stack)
        state = MemoryState()
        outcomes = OutcomeLog(outcomes_file, state)
        stack.callback(outcomes.close)
        model_health = ModelHealth(tables, providers, state, clock, embedded=False)
        ports = RouterPorts(
            tables,
            providers,
            NoRateLimits(),
            ledger,
            DayBudget(None, clock),
            outcomes,
            state,
            clock,
            lambda: str(uuid.uuid4()),
        )
        router = Router(
            ports, SurfaceScorer(), model_health, mode=mode, timeouts=limits, budget_micro_usd=budget_micro_usd
        )
        servicer = LlmRouterServicer(router, model_health)
        settings = ServerSettings(jwt_secret=SECRET, drain_grace_s=0.2, message_bytes_max=16 * 1024 * 1024)
        add = llm_router_pb2_grpc.add_LlmRouterServiceServicer_to_server
        server = MeshServer("llm_router", settings, Assembly([Servicer(FULL_NAME, lambda s: add(servicer, s))]))
        await server.start()
        stack.push_async_callback(server.stop)
        target = f"127.0.0.1:{server.grpc_port}"
        token = MINTER.mint("acme", caller="test")
        channel = await stack.enter_async_context(MeshChannel(target, lambda: token))
        yield RouterHarness(
            anthropic, gemini, openai, RouterClient(channel), router, model_health, ledger, target, clock
        )


def user(*parts: pb.Part | str) -> pb.Message:
    return pb.Message(role=pb.ROLE_USER, parts=[pb.Part(text=p) if isinstance(p, str) else p for p in parts])


def assistant(*parts: pb.Part | str) -> pb.Message:
    return pb.Message(role=pb.ROLE_ASSISTANT, parts=[pb.Part(text=p) if isinstance(p, str) else p for p in parts])


def system(text: str) -> pb.Message:
    return pb.Message(role=pb.ROLE_SYSTEM, parts=[pb.Part(text=text)])


def asking(*messages: pb.Message | str, **fields: object) -> pb.GenerateRequest:
    turns = [user(m) if isinstance(m, str) else m for m in messages]
    return pb.GenerateRequest(messages=turns, **fields)


def text_of(events: list[pb.GenerateResponse]) -> str:
    return "".join(e.text_delta for e in events)
