"""Cost of one live 720p30 stream by policy: CPU of client and service, and bytes per second.

`.venv/bin/python -m bench.vision.stream_cost [CLIP]`; without a clip, the synthetic person. Frames are decoded before
the clock starts and submitted in real time at 30 fps, as a gateway would; encoding and upload of kept frames included.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

import av
import numpy as np
from hocket.vision.v1 import vision_pb2 as pb

from bench.results import Table, add_json_option
from bench.vision.scenes import SCENES
from bench.vision.service import ServiceProcess
from hocket.chassis.channel import MeshChannel
from hocket.client.vision import I420Frame, VisionClient

COLUMNS = (
    *("clip", "policy", "kept, %", "offers per s", "client core, %", "event loop, %", "server core, %"),
    *("offers, Mbit/s", "JPEG, Mbit/s", "all, Mbit/s", "kept by timer"),
)
FPS = 30
_SIZE = (1280, 720)


def decoded(clip: str | None, count: int) -> list[I420Frame]:
    """Return the first `count` frames as 720p I420."""
    frames: list[I420Frame] = []
    if clip is None:
        pictures = (
            av.VideoFrame.from_ndarray(np.ascontiguousarray(p), format="rgb24") for p in SCENES["talk_person"][0]()
        )
        for picture in pictures:
            frames.append(_i420(picture))
            if len(frames) == count:
                break
    else:
        with av.open(clip) as container:
            for picture in container.decode(video=0):
                frames.append(_i420(picture))
                if len(frames) == count:
                    break
    return frames


def _i420(picture: av.VideoFrame) -> I420Frame:
    planes = picture.reformat(*_SIZE, "yuv420p", interpolation="AREA").to_ndarray()
    return I420Frame(planes.tobytes(), *_SIZE)


async def measure(
    service: ServiceProcess, policy: pb.Policy.ValueType, frames: list[I420Frame], seconds: float
) -> list[str]:
    async with MeshChannel(service.target, lambda: "") as mesh:
        config = pb.WatchConfig(policy=policy)
        async with VisionClient(mesh).watch(lambda *_: None, config=config) as session:
            while not session.connected:  # noqa: ASYNC110 - a state, not an event
                await asyncio.sleep(0.01)
            order = frames + frames[-2:0:-1]
            loop_thread, started = time.thread_time(), time.monotonic()
            own, server = time.process_time(), service.cpu_s()
            for i in range(int(seconds * FPS)):
                await asyncio.sleep(max(0.0, started + i / FPS - time.monotonic()))
                session.submit("bench", "video", order[i % len(order)], captured_at_s=i / FPS)
            wall = time.monotonic() - started
            loop_thread = time.thread_time() - loop_thread
            own, server = time.process_time() - own, service.cpu_s() - server
            stats = session.stats
    kept = stats.kept + stats.refreshed + stats.kept_by_timer
    name = pb.Policy.Name(policy).removeprefix("POLICY_").lower()
    cpu = (f"{used / wall * 100:.2f}" for used in (own, loop_thread, server))
    sizes = (stats.offer_bytes, stats.jpeg_bytes, stats.offer_bytes + stats.jpeg_bytes)
    bits = (f"{size / wall * 8e-6:.2f}" for size in sizes)
    cells = [f"{100 * kept / stats.seen:.1f}", f"{stats.offered / wall:.1f}", *cpu, *bits, str(stats.kept_by_timer)]
    print(f"{name:8s}" + "".join(f"{cell:>10s}" for cell in cells))
    return [f"`{name}`", *cells]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", nargs="?")
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--policies", default="cells,economy,phash,timer")
    add_json_option(parser)
    arguments = parser.parse_args()
    frames = decoded(arguments.clip, 300)
    print(f"{len(frames)} frames of 1280x720 at {FPS} fps; CPU in % of one core")
    titles = ("kept %", "offers/s", "client %", "loop %", "server %", "offer Mb/s", "JPEG Mb/s", "all Mb/s", "by timer")
    print("policy  " + "".join(f"{title:>10s}" for title in titles))
    rows: list[list[str]] = []
    service = ServiceProcess()
    try:
        for policy in arguments.policies.split(","):
            value = pb.Policy.Value(f"POLICY_{policy.upper()}")
            clip = Path(arguments.clip).stem if arguments.clip else "synthetic person"
            rows.append([clip, *asyncio.run(measure(service, value, frames, arguments.seconds))])
    finally:
        service.stop()
    note = f"One live 720p stream at {FPS} fps; encoding and upload included."
    command = "python -m bench.vision stream CLIP"
    Table("vision", "vision_stream", COLUMNS, note, command).store(rows, write=arguments.json)


if __name__ == "__main__":
    main()
