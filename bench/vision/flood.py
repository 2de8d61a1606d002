"""A well-behaved stream beside a flooding process: delay from offer to verdict, alone and beside it.

`.venv/bin/python -m bench.vision flood --seconds 10`. The service is pinned to one core (Linux). The flooder is a
process of its own; each of its streams offers 10,000 tracks in turn, 256 per message, as fast as flow control allows.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import time

import numpy as np
from hocket.vision.v1 import vision_pb2 as pb
from hocket.vision.v1 import vision_pb2_grpc

from bench.results import Table, add_json_option
from bench.vision.many_tracks import gateway
from bench.vision.service import ServiceProcess
from bench.vision.throughput import thumbnails
from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel, TokenSource

COLUMNS = ("stream of 10 tracks at 10 fps", "verdict p50, ms", "p95, ms", "p99, ms", "max, ms", "server core, %")
_TRACKS = 10_000
_BATCH = 256
_TRACKS_BESIDE = 10
_FPS = 10.0
# For the processes of one run, on loopback; flooder and neighbour are two tenants.
_SECRET = "for-the-processes-of-this-benchmark-only"  # noqa: S105 - no secret: see above


def _token(tenant: str) -> TokenSource:
    return TokenMinter(_SECRET).source(tenant, caller="bench")


async def flood(target: str, streams: int, seconds: float) -> None:
    """Offer more tracks than a stream may hold, over `streams` streams."""
    luma, chroma = thumbnails()[0]
    answered = 0

    async def one(mesh: MeshChannel, room: str) -> None:
        nonlocal answered
        call = vision_pb2_grpc.VisionServiceStub(mesh.channel).Watch(**mesh.options(seconds + 60))
        await call.write(pb.WatchRequest(config=pb.WatchConfig()))
        messages = [
            pb.WatchRequest(
                offers=pb.OfferBatch(
                    offers=[
                        pb.Offer(
                            frame_id=1,
                            track=pb.TrackRef(room=room, track=f"t{start + i}"),
                            luma=luma,
                            chroma=chroma,
                            width=1280,
                            height=720,
                        )
                        for i in range(_BATCH)
                    ]
                )
            )
            for start in range(0, _TRACKS, _BATCH)
        ]

        async def write() -> None:
            while True:
                for message in messages:
                    await call.write(message)

        writing = asyncio.create_task(write())
        try:
            async for _ in call:
                answered += _BATCH
        finally:
            writing.cancel()

    async with MeshChannel(target, _token("flooder")) as mesh:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(one(mesh, f"flood{i}") for i in range(streams)))
    print(f"  the flooder got answers to {answered / seconds:.0f} offers a second")


async def beside(service: ServiceProcess, name: str, seconds: float) -> list[str]:
    """Measure one stream within its limits."""
    delays_s: list[float] = []
    cpu = service.cpu_s()
    async with MeshChannel(service.target, _token("neighbour")) as mesh:
        await gateway(mesh, name, _TRACKS_BESIDE, _FPS, seconds, delays_s)
    cpu = service.cpu_s() - cpu
    p = np.percentile(np.array(delays_s) * 1000, [50, 95, 99, 100])
    times = f"p50 {p[0]:.2f}  p95 {p[1]:.2f}  p99 {p[2]:.2f}  max {p[3]:.2f}"
    print(f"{name}: offer to verdict, ms: {times}; service {100 * cpu / seconds:.0f} % of a core")
    return [name, *(f"{ms:.2f}" for ms in p), f"{100 * cpu / seconds:.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument(
        "--streams", type=int, default=4, help="streams of the flooder; 8 hold all tracks of its tenant"
    )
    parser.add_argument(
        "--lead", type=float, default=4.0, help="seconds for the flooder to build its messages and start"
    )
    parser.add_argument("--flood", metavar="TARGET", help=argparse.SUPPRESS)
    add_json_option(parser)
    a = parser.parse_args()
    if a.flood:
        asyncio.run(flood(a.flood, a.streams, a.seconds))
        return
    service = ServiceProcess(jwt_secret=_SECRET)
    try:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(service.pid, {0})
        rows = [asyncio.run(beside(service, "alone", a.seconds))]
        flags = ["--flood", service.target, "--seconds", str(a.seconds + a.lead), "--streams", str(a.streams)]
        flooder = subprocess.Popen([sys.executable, "-m", "bench.vision.flood", *flags])
        time.sleep(a.lead)
        rows.append(asyncio.run(beside(service, f"beside a flood of {a.streams} streams", a.seconds)))
        flooder.wait(60)
    finally:
        service.stop()
    note = f"Each flooding stream opens {_TRACKS} tracks. The service is pinned to one core."
    Table("vision", "vision_flood", COLUMNS, note, "python -m bench.vision flood").store(rows, write=a.json)


if __name__ == "__main__":
    main()
