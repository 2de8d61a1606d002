"""What one live 720p30 stream costs: CPU of the client and of the service, and bytes per second, by policy.

`.venv/bin/python -m bench.vision.stream_cost [CLIP]`; without a clip, the synthetic person. Frames are decoded before
the clock starts and submitted in real time at 30 fps, as a gateway would; encoding and upload of kept frames included.
"""

from __future__ import annotations

import argparse
import asyncio
import time

import av
import numpy as np
from hocket.vision.v1 import vision_pb2 as pb

from bench.vision.scenes import SCENES
from bench.vision.service import ServiceProcess
from hocket.chassis.channel import MeshChannel
from hocket.client.vision import I420Frame, VisionClient

FPS = 30
_SIZE = (1280, 720)


def decoded(clip: str | None, count: int) -> list[I420Frame]:
    """The first `count` frames as 720p I420; a shorter clip plays forth and back."""
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
) -> None:
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
    print(
        f"{name:8s} {100 * kept / stats.seen:6.1f} {stats.offered / wall:8.1f} {own / wall * 100:8.2f} "
        f"{loop_thread / wall * 100:8.2f} {server / wall * 100:9.2f} {stats.offer_bytes / wall * 8e-6:10.2f} "
        f"{stats.jpeg_bytes / wall * 8e-6:9.2f} {(stats.offer_bytes + stats.jpeg_bytes) / wall * 8e-6:9.2f} "
        f"{stats.kept_by_timer:9d}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", nargs="?")
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--policies", default="cells,economy,phash,timer")
    arguments = parser.parse_args()
    frames = decoded(arguments.clip, 300)
    print(f"{len(frames)} frames of 1280x720 at {FPS} fps; CPU in % of one core")
    print("policy   kept% offers/s  client%    loop%  service%  offer Mb/s JPEG Mb/s  all Mb/s  by_timer")
    service = ServiceProcess()
    try:
        for policy in arguments.policies.split(","):
            value = pb.Policy.Value(f"POLICY_{policy.upper()}")
            asyncio.run(measure(service, value, frames, arguments.seconds))
    finally:
        service.stop()


if __name__ == "__main__":
    main()
