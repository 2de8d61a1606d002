"""Keep the frames of a live video that show something new; ffmpeg reads a camera, a file or a stream.

make up                                      # starts the mesh
eval "$(.venv/bin/hocket-local env)"         # sets TOKEN and the address of each service
ffmpeg -loglevel error -re -i clip.mp4 -vf scale=640:360 -pix_fmt yuv420p -f rawvideo - |
    .venv/bin/python examples/watch_video.py "$VISION" 640 360
"""

from __future__ import annotations

import asyncio
import os
import sys

from hocket.vision.v1.vision_pb2 import Cause

from hocket.client import MeshChannel, MeshError, VisionClient
from hocket.client.vision import I420Frame, Keyframe


def on_keyframe(jpeg: bytes, keyframe: Keyframe) -> None:
    """Print the cause of a kept frame; a real service would pass the JPEG to its model."""
    print(f"frame {keyframe.frame_id}: {Cause.Name(keyframe.cause)}, {len(jpeg)} bytes of JPEG", flush=True)


async def main(target: str, token: str, width: int, height: int) -> None:
    """Submit each I420 frame that arrives on standard input, and print each kept frame.

    Args:
        target: Address of `vision`, "host:port".
        token: Bearer token of the tenant.
        width: Width of a frame, in pixels.
        height: Height of a frame, in pixels.
    """
    frame_bytes = width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)
    async with MeshChannel(target, lambda: token) as channel:
        async with VisionClient(channel).watch(on_keyframe) as session:
            while len(planes := await asyncio.to_thread(sys.stdin.buffer.read, frame_bytes)) == frame_bytes:
                session.submit("example", "video", I420Frame(planes, width, height))
    stats = session.stats
    kept = stats.kept + stats.refreshed + stats.kept_by_timer
    print(f"{kept} of {stats.seen} frames kept, {stats.kept_by_timer} of them by the timer for lack of a verdict")
    if session.error:
        raise session.error


if __name__ == "__main__":
    if len(sys.argv) != 4 or "TOKEN" not in os.environ:
        sys.exit(__doc__)
    try:
        asyncio.run(main(sys.argv[1], os.environ["TOKEN"], int(sys.argv[2]), int(sys.argv[3])))
    except MeshError as error:
        sys.exit(f"{type(error).__name__}: {error}")
