"""The command hocket-vision receives SIGTERM while streams are open."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from hocket.vision.v1 import vision_pb2 as pb
from hocket.vision.v1 import vision_pb2_grpc

from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel
from tests.fakes.waiting import START_S
from tests.fakes.watched import free_port

SECRET = "a-secret-of-32-bytes-for-tests-only!"


@asynccontextmanager
async def vision_process() -> AsyncIterator[tuple[asyncio.subprocess.Process, MeshChannel]]:
    """Run the service as a process with a channel to it; kills it by its id if it outlives the block."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOCKET_VISION_")} | {
        "HOCKET_VISION_GRPC_PORT": str(port),
        "HOCKET_VISION_JWT_SECRET": SECRET,
        "HOCKET_VISION_DRAIN_WAIT_S": "0.2",
        "HOCKET_VISION_DRAIN_GRACE_S": str(START_S),
        "HOCKET_VISION_LOG_LEVEL": "ERROR",
    }
    command = [sys.executable, "-m", "services.vision"]
    process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=subprocess.PIPE)
    try:
        source = TokenMinter(SECRET).source("acme", caller="test")
        async with MeshChannel(f"127.0.0.1:{port}", source) as mesh, asyncio.timeout(START_S):
            await mesh.channel.channel_ready()
            yield process, mesh
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def watch(mesh: MeshChannel, room: str, frames: int):
    """Return a Watch stream that got verdicts on `frames` frames and is silent."""
    call = vision_pb2_grpc.VisionServiceStub(mesh.channel).Watch(**mesh.options(2 * START_S))
    await call.write(pb.WatchRequest(config=pb.WatchConfig()))
    track = pb.TrackRef(room=room, track="t")
    offers = [
        pb.Offer(frame_id=i, track=track, captured_at_us=i * 1000, luma=bytes(4096), width=64, height=64)
        for i in range(1, frames + 1)
    ]
    await call.write(pb.WatchRequest(offers=pb.OfferBatch(offers=offers)))
    assert len((await call.read()).verdicts.verdicts) == frames  # type: ignore[attr-defined]
    return call


async def dedup(mesh: MeshChannel):
    """Return a Dedup stream that got one verdict and is silent."""
    call = vision_pb2_grpc.VisionServiceStub(mesh.channel).Dedup(**mesh.options(2 * START_S))
    await call.write(pb.DedupRequest(config=pb.DedupConfig()))
    track = pb.TrackRef(room="three", track="t")
    frame = pb.WholeFrame(
        frame_id=1, track=track, format=pb.PIXEL_FORMAT_RGB24, data=bytes(64 * 64 * 3), width=64, height=64
    )
    await call.write(pb.DedupRequest(frame=frame))
    assert (await call.read()).HasField("result")  # type: ignore[attr-defined]
    return call


async def test_sigterm_ends_streams_with_final_stats():
    async with vision_process() as (process, mesh):
        calls = [await watch(mesh, "one", 3), await watch(mesh, "two", 5), await dedup(mesh)]
        process.send_signal(signal.SIGTERM)
        last = [await call.read() for call in calls]
        assert [message.WhichOneof("payload") for message in last] == ["final_stats"] * 3
        totals = [message.final_stats.total for message in last]
        assert [(total.offered, total.kept, total.skipped) for total in totals] == [(3, 1, 2), (5, 1, 4), (1, 1, 0)]
        for call in calls:
            assert await call.read() is grpc.aio.EOF
            assert await call.code() is grpc.StatusCode.OK
        assert await process.wait() == 0
        assert process.stderr
        assert await process.stderr.read() == b""
