"""Measures decisions per CPU-second of each client method: `python -m bench.ratelimit [--json]`.

Starts its own Redis and the service as a process, then measures each method for 3 s. Compare decisions per CPU-second
of the process that decides: this number hardly depends on the load of the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from hocket.ratelimit.v1 import ratelimit_pb2, ratelimit_pb2_grpc
from hocket.ratelimit.v1.ratelimit_pb2 import Spend

from bench.results import Table, add_json_option
from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel
from hocket.client.ratelimit import LeasedLimits, RateLimitClient
from local.embedded.redis import server_binary

RUN_S = 3.0
ROWS = 500
UNARY, STREAM, LEASED = "`Check`, 16 callers", f"`CheckStream`, {ROWS} rows per batch", "`LeasedLimits`"
TABLE = Table(
    "ratelimit",
    "ratelimit",
    ("method", "CPU of", "decisions per CPU-second", "decisions per s", "call p50, µs", "call p99, µs"),
    f"Each method for {RUN_S:.0f} s, with one Redis and one service process.",
)
# CPU times of a process are counted in ticks of this length.
_TICK_S = 0.01
LIMITS = "[rates.bench]\nwindow_s = 60\nfree = 1_000_000_000\nstandard = 1_000_000_000\npremium = 1_000_000_000\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def servers() -> AsyncGenerator[tuple[MeshChannel, psutil.Process], None]:
    """Run Redis and the service for the block; yield a channel to the service and its process."""
    secret, redis_port, port = secrets.token_hex(32), free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        limits = Path(folder) / "limits.toml"
        limits.write_text(LIMITS)
        redis = subprocess.Popen(  # noqa: ASYNC220 - runs before the measurement
            [server_binary(), "--port", str(redis_port), "--bind", "127.0.0.1", "--save", ""],
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )
        settings = {
            "JWT_SECRET": secret,
            "GRPC_PORT": str(port),
            "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
            "REDIS_TIMEOUT_S": "5",
            "LIMITS_FILE": str(limits),
            "LOG_LEVEL": "ERROR",
        }
        environment = {**os.environ, **{f"HOCKET_RATELIMIT_{name}": value for name, value in settings.items()}}
        service = subprocess.Popen([sys.executable, "-m", "services.ratelimit"], env=environment)  # noqa: ASYNC220 - as above
        token = TokenMinter(secret).source("bench", caller="bench", ttl_s=3600)
        try:
            async with MeshChannel(f"127.0.0.1:{port}", token) as channel:
                await asyncio.wait_for(channel.channel.channel_ready(), 30)
                yield channel, psutil.Process(service.pid)
        finally:
            service.terminate()
            service.wait()
            redis.terminate()
            redis.wait()


@dataclass(frozen=True, slots=True)
class Measurement:
    """Decisions of one method, CPU seconds of the process that decides, and seconds of each call."""

    decisions: int
    cpu_s: float
    calls_s: list[float]


def row(method: str, process: str, measured: Measurement) -> list[str]:
    """Return the row of one method."""
    calls_us = sorted(seconds * 1e6 for seconds in measured.calls_s)
    per_cpu_s = measured.decisions / max(measured.cpu_s, _TICK_S)
    quantiles = (f"{calls_us[int(len(calls_us) * q)]:,.1f}" for q in (0.5, 0.99))
    return [method, process, f"{per_cpu_s:,.0f}", f"{measured.decisions / RUN_S:,.0f}", *quantiles]


async def measure(process: psutil.Process, callers: int, once: Callable[[], Awaitable[int]]) -> Measurement:
    """Call one method for RUN_S.

    Args:
        process: Process whose CPU time is measured.
        callers: Concurrent loops.
        once: Makes one call and returns its number of decisions.
    """
    calls_s: list[float] = []
    decisions = 0
    ends = time.perf_counter() + RUN_S

    async def loop() -> None:
        nonlocal decisions
        while (started := time.perf_counter()) < ends:
            made = await once()
            decisions += made
            calls_s.append(time.perf_counter() - started)

    before = process.cpu_times()
    await asyncio.gather(*(loop() for _ in range(callers)))
    after = process.cpu_times()
    return Measurement(decisions, after.user + after.system - before.user - before.system, calls_s)


async def run() -> list[list[str]]:
    """Return a row for each method."""
    async with servers() as (channel, service):
        client = RateLimitClient(channel)
        stub = ratelimit_pb2_grpc.RateLimitServiceStub(channel.channel)

        async def unary() -> int:
            await client.check([Spend(limit="bench")], timeout_s=5)
            return 1

        rows = [row(UNARY, "service", await measure(service, 16, unary))]
        call = stub.CheckStream(**channel.options(60))
        batch = ratelimit_pb2.CheckStreamRequest(limits=["bench"] * ROWS, subjects=[f"u{n % 10}" for n in range(ROWS)])

        async def stream() -> int:
            await call.write(batch)
            response = await call.read()
            assert isinstance(response, ratelimit_pb2.CheckStreamResponse)  # noqa: S101 - the end of the stream would be a bug of the service
            return len(response.admitted)

        rows.append(row(STREAM, "service", await measure(service, 1, stream)))
        call.cancel()
        async with LeasedLimits(client) as leased:

            async def lease() -> int:
                await leased.spend("bench")
                return 1

            rows.append(row(LEASED, "caller", await measure(psutil.Process(), 1, lease)))
            rows.append(row(LEASED, "service", await measure(service, 1, lease)))
    return rows


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.ratelimit", description=__doc__)
    add_json_option(parser)
    options = parser.parse_args()
    TABLE.publish(asyncio.run(run()), write=options.json)


if __name__ == "__main__":
    main()
