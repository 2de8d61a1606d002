"""Measures the latency and CPU that a proxy adds between vendor and caller: first token, chunks.

    python -m bench.llm_router.latency [--litellm PYTHON] [--rounds N] [--json]

One emulated Anthropic (30 events a second a stream, the first after 50 ms) is read through a raw HTTP client, the bare
SDK, this router over gRPC, and, with the interpreter of an environment that holds litellm[proxy], the LiteLLM proxy
with one worker. Each piece of text is the moment it was sent, so latency is exact across processes. The ways take
turns within each round; figures are medians over rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from anthropic import AsyncAnthropic

from bench.llm_router.processes import cpu_s, end, free_port, spawn, until_there, vendor_and_router
from bench.llm_router.ways import LITELLM_KEY, MODEL, Way, by_litellm, by_raw_client, by_router, by_sdk
from bench.results import Table, add_json_option

TABLE = Table(
    "llm_router",
    "llm_router_latency",
    (
        *("streams", "path", "first token, ms", "added, ms", "chunk median, ms"),
        *("added, ms", "chunk p99, ms", "added, ms", "CPU, ms per event"),
    ),
    "One emulated Anthropic on loopback, 30 events per second and stream, first event after 50 ms, 60 events "
    'per stream; all streams of a row start together. "Added" is relative to the raw client. LiteLLM proxy '
    "with one worker.",
)
SUMMARY = Table(
    "llm_router",
    "llm_router_latency_summary",
    ("quantity", "llm_router", "LiteLLM proxy"),
    "Added latency and CPU, relative to a raw client.",
)
STREAMS = (1, 20, 50)
COMPARED = ("router", "LiteLLM proxy")
EVENTS = 60


@dataclass
class Seen:
    """What one way showed for one number of streams, over all rounds; times in ms."""

    first: list[float] = field(default_factory=list)
    chunks: list[float] = field(default_factory=list)
    cpu_per_event: list[float] = field(default_factory=list)
    events: int = 0


async def read_stream(way: Callable[[], AsyncIterator[str]], seen: Seen) -> int:
    """Read one answer; the number of stamped pieces."""
    started, count, rest = time.monotonic_ns(), 0, ""
    async for text in way():
        now = time.monotonic_ns()
        *stamps, rest = (rest + text).split(" ")
        for stamp in stamps:
            if count == 0:
                seen.first.append((now - started) / 1e6)
            elif count > EVENTS // 4:
                seen.chunks.append((now - int(stamp)) / 1e6)
            count += 1
    return count


async def measure(way: Way, streams: int, seen: Seen) -> None:
    """One round of one way: `streams` answers that start together."""
    # The first request of a process connects and warms; it is not counted.
    await read_stream(way.read, Seen())
    before = cpu_s(way.process)
    counts = await asyncio.gather(*(read_stream(way.read, seen) for _ in range(streams)))
    seen.cpu_per_event.append((cpu_s(way.process) - before) * 1000 / sum(counts))
    seen.events += sum(counts)
    if set(counts) != {EVENTS}:
        raise RuntimeError(f"{way.name} lost pieces: {counts}")


async def run(litellm: str | None, rounds: int) -> dict[str, dict[int, Seen]]:
    folder = Path(tempfile.mkdtemp(prefix="llm-router-bench-"))
    vendor_port, grpc_port, ops_port, litellm_port = (free_port() for _ in range(4))
    vendor = f"http://127.0.0.1:{vendor_port}"
    row = {"model_name": MODEL, "litellm_params": {"model": f"anthropic/{MODEL}", "api_base": vendor, "api_key": "k"}}
    (folder / "litellm.yaml").write_text(json.dumps({"model_list": [row]}))
    processes = vendor_and_router(folder, events=EVENTS, ports=(vendor_port, grpc_port, ops_port))
    if litellm:
        proxy = str(Path(litellm).parent / "litellm")
        command = [proxy, "--config", str(folder / "litellm.yaml"), "--host", "127.0.0.1", "--num_workers", "1"]
        quiet = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
        quiet["LITELLM_MASTER_KEY"] = LITELLM_KEY
        processes.append(spawn([*command, "--port", str(litellm_port)], folder / "litellm.log", **quiet))
    try:
        await until_there(f"http://127.0.0.1:{ops_port}/readyz")
        if litellm:
            await until_there(f"http://127.0.0.1:{litellm_port}/health/liveliness")
        return await compare(vendor, grpc_port, litellm_port if litellm else None, processes, rounds)
    finally:
        end(processes)


async def compare(
    vendor: str, grpc_port: int, litellm_port: int | None, processes: list[subprocess.Popen[bytes]], rounds: int
) -> dict[str, dict[int, Seen]]:
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    sdk = AsyncAnthropic(api_key="k", base_url=vendor, max_retries=0)
    async with session, sdk, by_router(grpc_port, processes[1].pid) as router:
        ways = [by_raw_client(session, vendor), by_sdk(sdk), router]
        if litellm_port is not None:
            ways.append(by_litellm(session, litellm_port, processes[2].pid))
        seen = {way.name: {n: Seen() for n in STREAMS} for way in ways}
        for _ in range(rounds):
            for streams in STREAMS:
                for way in ways:
                    await measure(way, streams, seen[way.name][streams])
    return seen


def quantile(values: list[float], q: float) -> float:
    return sorted(values)[int(q * (len(values) - 1))]


def table(seen: dict[str, dict[int, Seen]]) -> list[list[str]]:
    rows: list[list[str]] = []
    for streams in STREAMS:
        raw = seen["raw client"][streams]
        base = statistics.median(raw.first), statistics.median(raw.chunks), quantile(raw.chunks, 0.99)
        for name, by_streams in seen.items():
            one = by_streams[streams]
            values = statistics.median(one.first), statistics.median(one.chunks), quantile(one.chunks, 0.99)
            cells = [cell for v, b in zip(values, base, strict=True) for cell in (f"{v:.2f}", f"{v - b:+.2f}")]
            cpu = statistics.median(one.cpu_per_event)
            rows.append([str(streams), name, *cells, f"{cpu:.3f}"])
    return rows


def summary(rows: list[list[str]]) -> list[list[str]]:
    """Return the added latency and CPU of router and proxy, from the rows of the table."""
    by_path = {(streams, name): row for streams, name, *row in rows}
    quantities = [
        ("first token, 1 stream, ms", "1", 1),
        ("first token, 20 streams starting together, ms", "20", 1),
        ("first token, 50 streams starting together, ms", "50", 1),
        ("chunk median, 20 streams, ms", "20", 3),
        ("chunk p99, 20 streams, ms", "20", 5),
        ("CPU, 20 streams, ms per event", "20", 6),
    ]
    return [
        [quantity, *(by_path[streams, path][i] if (streams, path) in by_path else "" for path in COMPARED)]
        for quantity, streams, i in quantities
    ]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--litellm", help="python of an environment that holds litellm[proxy]")
    parser.add_argument("--rounds", type=int, default=5)
    add_json_option(parser)
    options = parser.parse_args()
    rows = table(asyncio.run(run(options.litellm, options.rounds)))
    TABLE.publish(rows, write=options.json)
    SUMMARY.publish(summary(rows), write=options.json)


if __name__ == "__main__":
    main()
