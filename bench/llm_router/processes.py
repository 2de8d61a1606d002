"""The processes of the router's benches: an emulated vendor, a router before it, and how they begin and end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import psutil

TIERS = """
version = "bench"
[tiers.simple]
share = 0.6
models = ["claude-sonnet-5-5"]
[tiers.moderate]
share = 0.25
models = ["claude-sonnet-5-5"]
[tiers.complex]
share = 0.15
models = ["claude-sonnet-5-5"]
[models.claude-sonnet-5-5]
provider = "anthropic"
vendor_model = "claude-sonnet-5-5"
capabilities = ["text", "vision", "tools", "json_schema", "cache"]
context_window_tokens = 1_000_000
output_tokens_max = 65_536
cache = "explicit"
cache_prefix_tokens_min = 1024
[[models.claude-sonnet-5-5.prices]]
valid_from = 2026-10-07
input = 2.0
output = 10.0
"""


def vendor_and_router(folder: Path, *, events: int, ports: tuple[int, int, int]) -> list[subprocess.Popen[bytes]]:
    """An emulated Anthropic of so many events an answer, and a router before it; ports: vendor, gRPC, operations."""
    vendor_port, grpc_port, ops_port = (str(port) for port in ports)
    (folder / "tiers.toml").write_text(TIERS)
    return [
        spawn([sys.executable, "-m", "bench.llm_router.emulated", vendor_port, str(events)], folder / "vendor.log"),
        spawn(
            [sys.executable, "-m", "services.llm_router"],
            folder / "router.log",
            HOCKET_LLM_ROUTER_GRPC_PORT=grpc_port,
            HOCKET_LLM_ROUTER_OPS_PORT=ops_port,
            HOCKET_LLM_ROUTER_ANTHROPIC_API_KEY="k",
            HOCKET_LLM_ROUTER_ANTHROPIC_BASE_URL=f"http://127.0.0.1:{vendor_port}",
            HOCKET_LLM_ROUTER_TIERS_FILE=str(folder / "tiers.toml"),
        ),
    ]


def spawn(command: list[str], log: Path, **env: str) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **env})


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


async def until_there(url: str, seconds: float = 90) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(int(seconds * 4)):
            try:
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.25)
    raise TimeoutError(url)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def cpu_s(process: psutil.Process | None) -> float:
    times = (process or psutil.Process()).cpu_times()
    return times.user + times.system
