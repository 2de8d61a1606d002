"""Filter pictures, for instance screenshots: print the verdict on each and the vision tokens saved.

make up                                      # starts the mesh
eval "$(.venv/bin/hocket-local env)"         # sets TOKEN and the address of each service
.venv/bin/python examples/vision_gate.py "$VISION" shots/*.png
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from hocket.vision.v1 import vision_pb2 as pb

from hocket.client import MeshChannel, MeshError, VisionClient

FORMATS = {".png": pb.PIXEL_FORMAT_PNG, ".webp": pb.PIXEL_FORMAT_WEBP}
TRACK = pb.TrackRef(room="example", track="screenshots")


async def frames(paths: list[str]) -> AsyncIterator[pb.WholeFrame]:
    """Yield each file as a frame, with capture times one second apart."""
    for number, path in enumerate(map(Path, paths), 1):
        form = FORMATS.get(path.suffix.lower(), pb.PIXEL_FORMAT_JPEG)
        yield pb.WholeFrame(
            frame_id=number, track=TRACK, captured_at_us=number * 10**6, format=form, data=path.read_bytes()
        )


async def main(target: str, token: str, paths: list[str]) -> None:
    """Print the verdict on each picture, the share of skipped pictures and the vision tokens saved."""
    async with MeshChannel(target, lambda: token) as channel:
        vision = VisionClient(channel)
        async for answer in vision.dedup(frames(paths), config=pb.DedupConfig(return_jpeg=True)):
            if answer.HasField("rejection"):
                print(f"{paths[answer.rejection.frame_id - 1]}: refused, {answer.rejection.message}")
            else:
                verdict = answer.result.verdict
                label = f"{pb.Verdict.Name(verdict.verdict)} ({pb.Cause.Name(verdict.cause)})"
                print(f"{paths[verdict.frame_id - 1]}: {label}, {len(answer.result.jpeg)} bytes of JPEG")
        total = (await vision.get_stats(room=TRACK.room)).total
        print(f"{100 * total.dedup_rate:.0f} % skipped, about {total.tokens_saved} vision tokens saved")


if __name__ == "__main__":
    if len(sys.argv) < 3 or "TOKEN" not in os.environ:
        sys.exit(__doc__)
    try:
        asyncio.run(main(sys.argv[1], os.environ["TOKEN"], sys.argv[2:]))
    except MeshError as error:
        sys.exit(f"{type(error).__name__}: {error}")
