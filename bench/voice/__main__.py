"""Command python -m bench.voice: voice latency on the caller's clock, median and p95, with emulated vendors.

LiveKit, the gateway and its AgentSession, gRPC and the caller's client SDK are real and on loopback: the numbers hold
no network, microphone or loudspeaker.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from hocket.speech.v1.speech_pb2 import SynthesizeConfig

from bench.results import Table, add_json_option
from bench.voice.delays import Delays
from bench.voice.floor import round_trips_ms
from examples.backend.store import TenantStore
from local.caller.audio import RATE_HZ, trim_silence
from local.caller.conversation import Question, ask
from local.demo.backend import BackendSocket, serve_backend
from local.demo.clients import TenantClients
from local.demo.run import call_in_room
from local.mesh import Mesh

PROFILES = ("safe", "fast")
# Without commas: pauses within a question are another measurement (false endpoints per profile).
SENTENCES = (
    "what time does the company meeting start",
    "where do visitors park their cars",
    "how much does a new badge cost",
    "when is the office open on saturday",
    "who is the building manager",
    "how many days of holiday do i have",
)
_WARM_UP_TURNS = 1
# From the last sample of a question to the first of its answer, on the caller's clock.
CALLER = "caller"
TABLE = Table("voice", "voice", ("profile", "timing", "turns", "median, ms", "p95, ms", "max, ms"))
# A run on a busy machine fills a table of its own and leaves that of the quiet machine.
UNDER_LOAD = replace(TABLE, name="voice_under_load")
QUIET_LOAD_MAX = 1.0

# Name of the timing -> milliseconds of each turn.
Measured = dict[str, list[float]]


async def run(turns: int, floor_turns: int) -> dict[str, Measured]:
    """Measure every profile and the floor."""
    with tempfile.TemporaryDirectory(prefix="hocket-bench-") as folder:
        async with _vendors() as vendors:
            with BackendSocket.bind() as address:
                return await _measure(Path(folder) / "mesh", vendors, address, turns, floor_turns)


async def _measure(
    data_dir: Path, vendors: str, address: BackendSocket, turns: int, floor_turns: int
) -> dict[str, Measured]:
    prefix = "HOCKET_MEDIA_GATEWAY_"
    env = {
        f"{prefix}SPEECH_TARGET": vendors,
        f"{prefix}LLM_ROUTER_TARGET": vendors,
        f"{prefix}BACKEND_URL": address.url,
    }
    tenants = {f"bench-{name}": TenantStore({"profile": name}, {}) for name in PROFILES}
    measured: dict[str, Measured] = {}
    async with Mesh.start(data_dir, env={"media_gateway": env}) as mesh:
        async with serve_backend(address, mesh.data_dir, tenants):
            for profile in PROFILES:
                clients = TenantClients(mesh.targets, mesh.minter, f"bench-{profile}")
                measured[profile] = await _turns(clients, profile, turns)
                await clients.close()
        if mesh.livekit and floor_turns:
            measured["floor"] = {"round_trip": await round_trips_ms(mesh.livekit, floor_turns)}
    return measured


async def _turns(clients: TenantClients, profile: str, turns: int) -> Measured:
    """Return the timings of the answered turns; print a line for each turn without an answer."""
    config = SynthesizeConfig(sample_rate_hz=RATE_HZ)
    questions = [
        Question(text, trim_silence(np.frombuffer(await clients.speech.say(text, config), np.int16)))
        for text in SENTENCES
    ]
    found: Measured = {}
    async with call_in_room(clients, f"bench-{profile}", None) as call:
        await asyncio.sleep(2)
        for number in range(turns + _WARM_UP_TURNS):
            exchange = await ask(call, questions[number % len(questions)], timeout_s=8)
            if exchange.first_sound_ms is None:
                print(f"{profile}: turn {number} was not answered", file=sys.stderr)
            elif number >= _WARM_UP_TURNS:
                timings = exchange.report.raw.get("timings_ms", {}) if exchange.report else {}
                for name, value in {CALLER: exchange.first_sound_ms, **timings}.items():
                    found.setdefault(str(name), []).append(float(value))
            await asyncio.sleep(0.1 + 0.037 * (number % 5))
    return found


@asynccontextmanager
async def _vendors() -> AsyncGenerator[str, None]:
    """Run the emulated vendors in a process of their own; yield their gRPC target."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.voice.vendors", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        if process.stdout is None:
            raise RuntimeError("the process of the emulated vendors has no standard output")
        while not (line := (await process.stdout.readline()).decode().strip()).startswith("127."):
            if not line and process.returncode is not None:
                raise RuntimeError(
                    f"the emulated vendors exited with code {process.returncode}; run python -m bench.voice.vendors"
                )
        yield line
    finally:
        process.terminate()
        await process.wait()


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest of `values` that at least `share` (0 to 1) of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * int(share * 1000) // 1000) - 1)]


def rows(measured: Mapping[str, Measured]) -> list[list[str]]:
    """Return a row for each timing: per profile the caller's clock, then the agent's own timings; last the floor."""
    found: list[list[str]] = []
    for profile, timed in measured.items():
        for name, values in timed.items():
            numbers = (statistics.median(values), quantile(values, 0.95), max(values))
            timing = "caller's clock" if name == CALLER else name.replace("_", " ")
            found.append([profile, timing, str(len(values)), *(f"{number:.0f}" for number in numbers)])
    return found


def table_for(load: float) -> Table:
    """Return the table for a run, with its conditions in the note.

    Args:
        load: Mean number of runnable processes in the minute before the run.
    """
    delays = Delays()
    note = (
        f"Emulated vendors: final transcript after {delays.final_s * 1000:.0f} ms, first token after"
        f" {delays.first_token_s * 1000:.0f} ms, first audio after {delays.first_audio_s * 1000:.0f} ms."
        f" Load {load:.1f} before the run."
    )
    return replace(TABLE if load <= QUIET_LOAD_MAX else UNDER_LOAD, note=note)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.voice", description=__doc__)
    parser.add_argument("--turns", type=int, default=16, help="turns of each profile, after one to warm up")
    parser.add_argument("--floor-turns", type=int, default=10, help="round trips without an agent; 0 for none")
    parser.add_argument("--raw", type=Path, metavar="FILE", help="write the milliseconds of every turn to FILE")
    add_json_option(parser)
    options = parser.parse_args()
    table = table_for(os.getloadavg()[0])
    measured = asyncio.run(run(options.turns, options.floor_turns))
    if options.raw:
        options.raw.write_text(json.dumps(measured, indent=2), encoding="utf-8")
    table.publish(rows(measured), write=options.json)
    for profile in PROFILES:
        if CALLER not in measured[profile]:
            sys.exit(f"{profile}: no turn was answered")


if __name__ == "__main__":
    main()
