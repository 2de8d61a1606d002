"""What the start of one request costs when many start together: CPU of the process that serves it, and its first token.

    python -m bench.llm_router.starts [--streams N] [--bursts N] [--pause SECONDS]

One emulated Anthropic answers each request after 50 ms with a single word, so nearly all CPU is that of beginning and
ending. The ways take turns, burst by burst; CPU is that of the router's process, for the others of the reading one.
With a pause longer than pools keep connections every burst begins cold.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from anthropic import AsyncAnthropic

from bench.llm_router.latency import Seen, read_stream
from bench.llm_router.processes import cpu_s, end, free_port, until_there, vendor_and_router
from bench.llm_router.ways import Way, by_raw_client, by_router, by_sdk

WARM_UP = 5


@dataclass
class Starts:
    """What the bursts of one way showed: first tokens, and CPU in ms a request."""

    seen: Seen = field(default_factory=Seen)
    cpu_ms: list[float] = field(default_factory=list)


async def burst(way: Way, streams: int, starts: Starts) -> None:
    """`streams` answers that start together."""
    before = cpu_s(way.process)
    await asyncio.gather(*(read_stream(way.read, starts.seen) for _ in range(streams)))
    starts.cpu_ms.append((cpu_s(way.process) - before) * 1000 / streams)


async def compare(vendor: str, grpc_port: int, router_pid: int, given: argparse.Namespace) -> dict[str, Starts]:
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    sdk = AsyncAnthropic(api_key="k", base_url=vendor, max_retries=0)
    async with session, sdk, by_router(grpc_port, router_pid) as router:
        ways = [by_raw_client(session, vendor), by_sdk(sdk), router]
        for way in ways:
            for _ in range(WARM_UP):
                await burst(way, given.streams, Starts())
        starts = {way.name: Starts() for way in ways}
        for _ in range(given.bursts):
            for way in ways:
                await asyncio.sleep(given.pause)
                await burst(way, given.streams, starts[way.name])
    return starts


async def run(given: argparse.Namespace) -> dict[str, Starts]:
    folder = Path(tempfile.mkdtemp(prefix="llm-router-bench-"))
    vendor_port, grpc_port, ops_port = (free_port() for _ in range(3))
    vendor = f"http://127.0.0.1:{vendor_port}"
    processes = vendor_and_router(folder, events=1, ports=(vendor_port, grpc_port, ops_port))
    try:
        await until_there(f"http://127.0.0.1:{ops_port}/readyz")
        return await compare(vendor, grpc_port, processes[1].pid, given)
    finally:
        end(processes)


def table(starts: dict[str, Starts]) -> str:
    rows = ["| way | first token, ms | added | p90 added | CPU ms/request |", "|---|---|---|---|---|"]
    raw = statistics.median(starts["raw client"].seen.first)
    for name, one in starts.items():
        first = sorted(one.seen.first)
        median, late = statistics.median(first), first[int(0.9 * (len(first) - 1))]
        cpu = statistics.fmean(one.cpu_ms)
        rows.append(f"| {name} | {median:.2f} | {median - raw:+.2f} | {late - raw:+.2f} | {cpu:.3f} |")
    return "\n".join(rows)


def main() -> None:
    """Be the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--bursts", type=int, default=50)
    parser.add_argument("--pause", type=float, default=0.0)
    given = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}, {given.bursts} bursts of {given.streams}")
    print(table(asyncio.run(run(given))))


if __name__ == "__main__":
    main()
