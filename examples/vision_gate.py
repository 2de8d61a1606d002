"""Keep the pictures that show something new: a folder of screenshots, or whatever another service has at hand.

make up                                     # prints a token and the target of each service
TOKEN=... python examples/vision_gate.py 127.0.0.1:20002 shots/*.png
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from hocket.vision.v1 import vision_pb2 as pb

from hocket.chassis.channel import MeshChannel
from hocket.chassis.errors import MeshError
from hocket.client.vision import VisionClient

FORMATS = {".png": pb.PIXEL_FORMAT_PNG, ".webp": pb.PIXEL_FORMAT_WEBP}
TRACK = pb.TrackRef(room="example", track="screenshots")


async def pictures(paths: list[str]) -> AsyncIterator[pb.WholeFrame]:
    """Each file as a frame, a second apart."""
    for number, path in enumerate(map(Path, paths), 1):
        form = FORMATS.get(path.suffix.lower(), pb.PIXEL_FORMAT_JPEG)
        yield pb.WholeFrame(
            frame_id=number, track=TRACK, captured_at_us=number * 10**6, format=form, data=path.read_bytes()
        )


async def main(target: str, token: str, paths: list[str]) -> None:
    """Print what the gate says of each picture, and how many tokens that saves."""
    async with MeshChannel(target, lambda: token) as channel:
        vision = VisionClient(channel)
        async for answer in vision.dedup(pictures(paths), config=pb.DedupConfig(return_jpeg=True)):
            if answer.HasField("rejection"):
                print(f"{paths[answer.rejection.frame_id - 1]}: refused, {answer.rejection.message}")
            else:
                verdict = answer.result.verdict
                said = f"{pb.Verdict.Name(verdict.verdict)} ({pb.Cause.Name(verdict.cause)})"
                print(f"{paths[verdict.frame_id - 1]}: {said}, {len(answer.result.jpeg)} bytes of JPEG")
        total = (await vision.get_stats(room=TRACK.room)).total
        print(f"{100 * total.dedup_rate:.0f} % skipped, about {total.tokens_saved} vision tokens saved")


if __name__ == "__main__":
    if len(sys.argv) < 3 or "TOKEN" not in os.environ:
        sys.exit(__doc__)
    try:
        asyncio.run(main(sys.argv[1], os.environ["TOKEN"], sys.argv[2:]))
    except MeshError as error:
        sys.exit(f"{type(error).__name__}: {error}")
