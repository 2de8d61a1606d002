"""Many live tracks on one service: delay from offer to verdict, CPU and memory over a minute.

`.venv/bin/python -m bench.vision.many_tracks --tracks 200 --fps 10 --seconds 60`. The service is pinned to one core
(Linux). Tracks are spread over streams as over gateways; thumbnails are those of `bench.vision.throughput`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time

import numpy as np
from hocket.vision.v1 import vision_pb2 as pb
from hocket.vision.v1 import vision_pb2_grpc

from bench.results import Table, add_json_option
from bench.vision.service import ServiceProcess
from bench.vision.throughput import thumbnails
from hocket.chassis.channel import MeshChannel

COLUMNS = (
    *("load", "verdict p50, ms", "p95, ms", "p99, ms", "max, ms", "server core, %"),
    *("memory after 10 s, MiB", "memory at the end, MiB"),
)
_MIB = 1024 * 1024


async def gateway(mesh: MeshChannel, name: str, tracks: int, fps: float, seconds: float, delays_s: list[float]) -> None:
    """Offer all tracks of one stream at `fps` and append the delay of each verdict batch to `delays_s`."""
    frames = thumbnails()
    call = vision_pb2_grpc.VisionServiceStub(mesh.channel).Watch(**mesh.options(seconds + 60))
    await call.write(pb.WatchRequest(config=pb.WatchConfig()))
    sent: list[float] = []
    rounds = int(seconds * fps)

    async def read() -> None:
        for n in range(rounds):
            response = await call.read()
            if not isinstance(response, pb.WatchResponse) or response.verdicts.rejections:
                raise SystemExit(f"the service refused offers: {response}")
            delays_s.append(time.monotonic() - sent[n])

    reading = asyncio.create_task(read())
    refs = [pb.TrackRef(room=name, track=f"t{i}") for i in range(tracks)]
    started = time.monotonic() + hash(name) % 1000 / 1000 / fps
    for n in range(rounds):
        luma, chroma = frames[n % len(frames)]
        offers = [
            pb.Offer(
                frame_id=n + 1,
                track=ref,
                captured_at_us=int(n / fps * 1e6),
                luma=luma,
                chroma=chroma,
                width=1280,
                height=720,
            )
            for ref in refs
        ]
        await asyncio.sleep(max(0.0, started + n / fps - time.monotonic()))
        sent.append(time.monotonic())
        await call.write(pb.WatchRequest(offers=pb.OfferBatch(offers=offers)))
    await reading
    call.cancel()


async def run(service: ServiceProcess, tracks: int, streams: int, fps: float, seconds: float) -> list[str]:
    delays_s: list[float] = []
    memory: list[int] = []

    async def sample_memory() -> None:
        while True:
            memory.append(service.memory_bytes())
            await asyncio.sleep(2)

    sampling = asyncio.create_task(sample_memory())
    cpu, started = service.cpu_s(), time.monotonic()
    async with MeshChannel(service.target, lambda: "") as mesh:
        each = tracks // streams
        await asyncio.gather(*(gateway(mesh, f"room{i}", each, fps, seconds, delays_s) for i in range(streams)))
    wall, cpu = time.monotonic() - started, service.cpu_s() - cpu
    sampling.cancel()
    verdicts = len(delays_s) * (tracks // streams)
    delays_ms = np.percentile(np.array(delays_s) * 1000, [50, 95, 99, 100])
    print(f"{tracks} tracks on {streams} streams at {fps:g} fps for {wall:.0f} s: {verdicts} verdicts")
    p50, p95, p99, longest = delays_ms
    print(f"offer to verdict, ms: p50 {p50:.2f}  p95 {p95:.2f}  p99 {p99:.2f}  max {longest:.2f}")
    print(f"service: {100 * cpu / wall:.1f} % of a core, {1e6 * cpu / verdicts:.1f} us a verdict")
    settled = memory[min(5, len(memory) - 1) :]
    before, early, late = (held / _MIB for held in (memory[0], settled[0], settled[-1]))
    print(f"memory, MiB: {before:.1f} before, {early:.1f} after 10 s, {late:.1f} at the end")
    load = f"{tracks} tracks on {streams} streams at {fps:g} fps for {wall:.0f} s"
    return [load, *(f"{ms:.2f}" for ms in delays_ms), f"{100 * cpu / wall:.1f}", f"{early:.1f}", f"{late:.1f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tracks", type=int, default=200)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--fps", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    add_json_option(parser)
    a = parser.parse_args()
    service = ServiceProcess()
    try:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(service.pid, {0})
        row = asyncio.run(run(service, a.tracks, a.streams, a.fps, a.seconds))
    finally:
        service.stop()
    note = "The service is pinned to one core."
    Table("vision", "vision_tracks", COLUMNS, note, "python -m bench.vision tracks").store([row], write=a.json)


if __name__ == "__main__":
    main()
