"""The ways to read one answer that the latency bench compares."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import psutil
from anthropic import AsyncAnthropic
from hocket.llm_router.v1 import llm_router_pb2 as pb

from hocket.chassis.channel import MeshChannel
from hocket.client.llm_router import RouterClient

LITELLM_KEY = "sk-bench-on-loopback-0123456789abcdef0123456789"
MODEL = "claude-sonnet-5-5"
BODY: dict[str, Any] = {
    "model": MODEL,
    "max_tokens": 1000,
    "messages": [{"role": "user", "content": "Tell me something."}],
    "stream": True,
}


@dataclass(frozen=True)
class Way:
    """A name, how to read the text of one answer, and whose CPU it costs (None: this process's)."""

    name: str
    read: Callable[[], AsyncIterator[str]]
    process: psutil.Process | None = None


def by_raw_client(session: aiohttp.ClientSession, vendor: str) -> Way:
    """Lines off the socket, parsed as JSON and nothing else."""
    headers = {"authorization": "Bearer k", "anthropic-version": "2026-10-21"}

    async def read() -> AsyncIterator[str]:
        async with session.post(f"{vendor}/v1/messages", json=BODY, headers=headers) as response:
            async for line in response.content:
                if line.startswith(b"data: "):
                    event = json.loads(line[6:])
                    if event["type"] == "content_block_delta":
                        yield event["delta"]["text"]

    return Way("raw client", read)


def by_sdk(client: AsyncAnthropic) -> Way:
    """The vendor's SDK with its typed events."""

    async def read() -> AsyncIterator[str]:
        async with await client.messages.create(**BODY) as stream:
            async for event in stream:
                if event.type == "content_block_delta":
                    yield event.delta.text

    return Way("bare SDK", read)


@asynccontextmanager
async def by_router(port: int, pid: int) -> AsyncIterator[Way]:
    """This router over gRPC."""
    message = pb.Message(role=pb.ROLE_USER, parts=[pb.Part(text="Tell me something.")])
    request = pb.GenerateRequest(messages=[message], max_output_tokens=1000)
    async with MeshChannel(f"127.0.0.1:{port}", lambda: "") as channel:
        client = RouterClient(channel)

        async def read() -> AsyncIterator[str]:
            async with aclosing(client.generate(request)) as events:
                async for event in events:
                    if event.text_delta:
                        yield event.text_delta

        yield Way("router", read, psutil.Process(pid))


def by_litellm(session: aiohttp.ClientSession, port: int, pid: int) -> Way:
    """The LiteLLM proxy's chat completions."""

    async def read() -> AsyncIterator[str]:
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        async with session.post(url, json=BODY, headers={"authorization": f"Bearer {LITELLM_KEY}"}) as response:
            if response.status != 200:
                raise RuntimeError(await response.text())
            async for line in response.content:
                if line.startswith(b"data: {"):
                    choices = json.loads(line[6:])["choices"]
                    text = choices[0]["delta"].get("content") if choices else None
                    if text:
                        yield text

    return Way("LiteLLM proxy", read, psutil.Process(pid))
