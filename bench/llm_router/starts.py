"""Measures what one request costs when many start together: CPU of the serving process, and the first token.

    python -m bench.llm_router.starts [--streams N] [--bursts N] [--pause SECONDS] [--json]

One emulated Anthropic answers each request after 50 ms with a single word, so nearly all CPU is spent on the start and
the end. The paths take turns, burst by burst; CPU is that of the router's process, for the other paths that of the
reading process. With a pause longer than pools keep connections every burst connects anew.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from anthropic import AsyncAnthropic

from bench.llm_router.latency import Seen, read_stream
from bench.llm_router.processes import cpu_s, end, free_port, until_there, vendor_and_router
from bench.llm_router.ways import Way, by_raw_client, by_router, by_sdk
from bench.results import Table, add_json_option

TABLE = Table(
    "llm_router",
    "llm_router_start",
    ("path", "first token, ms", "added, ms", "p90 added, ms", "CPU per request, ms"),
    "One request with one word of output, started and finished; all streams of a burst start together.",
)

WARM_UP = 5


@dataclass
class Starts:
    """Measurements of one path: first tokens, and CPU in ms per request and burst."""

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


def rows(starts: dict[str, Starts]) -> list[list[str]]:
    """Return a row for each path; "added" is relative to the median of the raw client."""
    raw = statistics.median(starts["raw client"].seen.first)
    found: list[list[str]] = []
    for name, one in starts.items():
        first = sorted(one.seen.first)
        median, late = statistics.median(first), first[int(0.9 * (len(first) - 1))]
        cpu = statistics.fmean(one.cpu_ms)
        found.append([name, f"{median:.2f}", f"{median - raw:+.2f}", f"{late - raw:+.2f}", f"{cpu:.3f}"])
    return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--bursts", type=int, default=50)
    parser.add_argument("--pause", type=float, default=0.0)
    add_json_option(parser)
    given = parser.parse_args()
    TABLE.publish(rows(asyncio.run(run(given))), write=given.json)


if __name__ == "__main__":
    main()
