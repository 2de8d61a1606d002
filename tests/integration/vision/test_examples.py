"""The examples of vision run as processes against a server."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from hocket.chassis.auth import TokenMinter
from hocket.chassis.server import MeshServer
from services.vision.__main__ import build
from services.vision.settings import Settings
from tests.fakes.waiting import START_S

SECRET = "a-secret-of-32-bytes-for-tests-only!"
EXAMPLES = Path(__file__).parents[3] / "examples"


@asynccontextmanager
async def running(name: str, *arguments: str, token: str | None = None) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run an example against a server."""
    settings = Settings(jwt_secret=SECRET, drain_grace_s=1)
    async with AsyncExitStack() as resources, asyncio.timeout(START_S):
        server = MeshServer("vision", settings, await build(settings, resources))
        await server.start()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(EXAMPLES / name),
            f"127.0.0.1:{server.grpc_port}",
            *arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"TOKEN": token or TokenMinter(SECRET).mint("acme", caller="test")},
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            await server.stop()


def frame(level: int) -> bytes:
    """Return a flat picture of 65x49 pixels."""
    return bytes([level]) * (65 * 49) + bytes([128]) * (2 * 33 * 25)


async def shown_until_kept(process: asyncio.subprocess.Process, level: int) -> str:
    """Write a picture at 50 frames a second until the example reports a frame."""
    told = asyncio.create_task(process.stdout.readline())
    while not told.done():
        process.stdin.write(frame(level))
        await process.stdin.drain()
        await asyncio.wait([told], timeout=0.02)
    return (await told).decode()


async def test_a_video_on_stdin_is_watched():
    async with running("watch_video.py", "65", "49") as process:
        told = [await shown_until_kept(process, level) for level in (40, 220, 90)]
        process.stdin.write_eof()
        out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert all(line.startswith("frame ") and line.endswith(" bytes of JPEG\n") for line in told)
    summary = out.decode().splitlines()[-1]
    kept, _, seen = summary.split()[:3]
    assert 3 <= int(kept) < int(seen)
    assert "frames kept" in summary


async def test_the_fallback_timer_is_reported_without_verdicts():
    async with running("watch_video.py", "65", "49", token="nonsense") as process:
        told = ""
        while not told.startswith("frame "):
            # Besides the reported frames, the client logs that its stream is refused.
            told = await shown_until_kept(process, 40)
        process.stdin.write_eof()
        out, _ = await process.communicate()
    assert process.returncode == 0
    assert "CAUSE_TIMER" in told
    kept, _, by_timer = [int(word) for word in out.decode().splitlines()[-1].split() if word.isdigit()]
    assert kept == by_timer >= 1


async def test_screenshots_are_reported_as_new_same_or_refused(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    for name, picture in (("1.png", pixels), ("2.png", pixels), ("3.jpg", 255 - pixels)):
        Image.fromarray(picture).save(tmp_path / name)
    (tmp_path / "4.png").write_bytes(b"no picture")
    paths = sorted(str(path) for path in tmp_path.iterdir())
    async with running("vision_gate.py", *paths) as process:
        out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    first, same, other, refused, total = out.decode().splitlines()
    assert "VERDICT_KEEP (CAUSE_FIRST)" in first
    assert "VERDICT_SKIP" in same
    assert "VERDICT_KEEP" in other
    assert "refused" in refused
    assert total.startswith("33 % skipped")
