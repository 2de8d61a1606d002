"""Classification of failures of OpenAI-compatible servers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import openai
import pytest

from services.llm_router.adapters.files.tiers_file import TiersFile
from services.llm_router.adapters.vendors.openai_provider import OpenAiProvider
from services.llm_router.chat.request import Message, Request, Role, Text
from services.llm_router.errors import FailureKind, ModelFailure
from tests.contract.llm_router.test_stream_dialects import played, row
from tests.emulators.openai_emulator import OpenAiEmulator
from tests.emulators.router_harness import FixedDayClock
from tests.emulators.scenario import Scenario
from tests.fakes.waiting import DEADLINE_S

HELLO = Request((Message(Role.USER, (Text("Hello?"),)),))


@asynccontextmanager
async def provider(url: str, timeout_s: float = 5) -> AsyncIterator[OpenAiProvider]:
    server = OpenAiProvider(url, None, FixedDayClock())
    server._client = server._client.with_options(timeout=timeout_s)
    yield server
    await server.close()


async def failure(server: OpenAiProvider) -> tuple[FailureKind, bool]:
    """Return the kind of the failure and whether the vendor may bill it."""
    table = TiersFile(None, lambda t: t.with_vendor_model("openai-compatible", "m"), FixedDayClock().time).current
    with pytest.raises(ModelFailure) as caught:
        async for _ in server.stream(HELLO, table.models["openai-compatible"]):
            pass
    return caught.value.kind, caught.value.may_be_billed


async def test_a_refused_connection_is_unavailable_and_not_billed():
    with socket.socket() as taken:
        # Bound but not listening: the port is reserved and refuses connections.
        taken.bind(("127.0.0.1", 0))
        async with provider(f"http://127.0.0.1:{taken.getsockname()[1]}/v1") as server:
            assert await failure(server) == (FailureKind.UNAVAILABLE, False)


@pytest.mark.parametrize("never_sent", [httpx2.ConnectTimeout("no way there"), httpx2.PoolTimeout("none free")])
async def test_a_connect_or_pool_timeout_is_unavailable_and_not_billed(
    never_sent: Exception, monkeypatch: pytest.MonkeyPatch
):
    async def create(**_: object) -> None:
        raise openai.APITimeoutError(httpx2.Request("POST", "http://localhost")) from never_sent

    async with provider("http://127.0.0.1:9/v1") as server:
        monkeypatch.setattr(server._client.chat.completions, "create", create)
        assert await failure(server) == (FailureKind.UNAVAILABLE, False)


@pytest.mark.parametrize("silent", [Scenario(connect_s=60), Scenario(kind="stall", after=1)])
async def test_a_silent_server_is_a_timeout_that_may_be_billed(silent: Scenario):
    emulator = OpenAiEmulator()
    await emulator.start()
    emulator.always("*", silent)
    async with provider(emulator.url, timeout_s=0.2) as server:
        assert await failure(server) == (FailureKind.TIMEOUT, True)
    await asyncio.wait_for(emulator.stop(), DEADLINE_S)


@pytest.mark.parametrize("chunk", [{"choices": ["x"]}, {"choices": {"0": "x"}}, row("x"), row({"tool_calls": ["x"]})])
async def test_an_invalid_chunk_is_a_server_fault_and_not_an_adapter_fault(chunk: dict[str, Any]):
    emulator = OpenAiEmulator()
    await emulator.start()
    emulator.always("*", Scenario(body=played(row({"content": "Hel"}), chunk)))
    async with provider(emulator.url) as server:
        assert await failure(server) == (FailureKind.UNAVAILABLE, True)
    await asyncio.wait_for(emulator.stop(), DEADLINE_S)
