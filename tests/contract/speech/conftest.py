"""A real gRPC server with the embedded engines, and limits and ledger in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from hocket.speech.v1 import speech_pb2_grpc

from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel
from hocket.chassis.errors import ResourceExhausted
from hocket.chassis.server import Assembly, MeshServer, Servicer
from hocket.chassis.settings import ServerSettings
from hocket.client.speech import SpeechClient
from services.speech.adapters.embedded.espeak import EspeakLibrary, EspeakTextToSpeech
from services.speech.adapters.embedded.speech_to_text import EmbeddedSpeechToText
from services.speech.flow import Speech
from services.speech.listening.endpointing import EndpointingRules
from services.speech.listening.preflight import PreflightRules
from services.speech.ports import Cost
from services.speech.server import SpeechServicer

SECRET = "a-secret-of-32-bytes-for-tests-only!"


@dataclass
class Accounts:
    """ports.Ledger and ports.Limits in memory."""

    costs: list[Cost] = field(default_factory=list)
    spent: list[tuple[str, int]] = field(default_factory=list)
    exhausted: str = ""
    recorded: asyncio.Event = field(default_factory=asyncio.Event)

    def record(self, cost: Cost) -> None:
        self.costs.append(cost)
        self.recorded.set()

    async def cost_of(self, limit: str) -> Cost:
        """The first cost of `limit`, once it is recorded."""
        while not (found := [c for c in self.costs if c.limit == limit]):
            self.recorded.clear()
            await self.recorded.wait()
        return found[0]

    async def spend(self, limit: str, cost: int) -> None:
        if limit == self.exhausted:
            raise ResourceExhausted("spent", retry_after_s=2.0)
        self.spent.append((limit, cost))


@dataclass
class Mesh:
    """What a test talks to."""

    client: SpeechClient
    accounts: Accounts
    channel: MeshChannel
    open: Callable[[str], MeshChannel]


@asynccontextmanager
async def serving(**engines: object) -> AsyncIterator[Mesh]:
    accounts = Accounts()
    async with AsyncExitStack() as stack:
        stt = engines.get("stt")
        if stt is None:
            stt = EmbeddedSpeechToText(
                EspeakLibrary.shared().pronounce,
                EndpointingRules(),
                PreflightRules(),
                streams_max=int(str(engines.get("streams_max", 8))),
            )
            await stack.enter_async_context(stt)
        tts = engines.get("tts") or EspeakTextToSpeech(EspeakLibrary.shared(), default_voice="en-us")
        servicer = SpeechServicer(Speech(stt, tts, accounts, accounts))
        assembly = Assembly(
            [
                Servicer(
                    "hocket.speech.v1.SpeechService",
                    lambda s: speech_pb2_grpc.add_SpeechServiceServicer_to_server(servicer, s),
                )
            ]
        )
        server = MeshServer("speech", ServerSettings(jwt_secret=SECRET, drain_grace_s=0.2), assembly)
        await server.start()
        stack.push_async_callback(server.stop)
        target = f"127.0.0.1:{server.grpc_port}"
        token = TokenMinter(SECRET).mint("acme", caller="test")
        channel = await stack.enter_async_context(MeshChannel(target, lambda: token))
        yield Mesh(SpeechClient(channel), accounts, channel, lambda other: MeshChannel(target, lambda: other))


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    async with serving() as running:
        yield running


@pytest.fixture
def serve():
    return serving
