"""Servers with a shared Redis, also while it is frozen or killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
import simplejpeg
from hocket.vision.v1 import vision_pb2 as pb
from hocket.vision.v1 import vision_pb2_grpc

from hocket.chassis import errors
from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel
from hocket.chassis.server import MeshServer
from hocket.client.vision import VisionClient
from local.embedded.redis import server_binary
from services.vision.__main__ import build
from services.vision.settings import Settings
from tests.fakes.waiting import DEADLINE_S

SECRET = "a-secret-of-32-bytes-for-tests-only!"
TOKEN = TokenMinter(SECRET).mint("acme", caller="test")
JPEG = simplejpeg.encode_jpeg(np.zeros((48, 64, 3), np.uint8))
TRACK = pb.TrackRef(room="r", track="t")


class OwnRedis:
    """A Redis process that the test may freeze and kill."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{port}/0"
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        self.process = subprocess.Popen([server_binary(), *options], stdout=subprocess.DEVNULL)
        ends = time.monotonic() + DEADLINE_S
        while time.monotonic() < ends:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.02)
        raise TimeoutError("redis did not start")

    def stop(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def own_redis(tmp_path):
    redis = OwnRedis(tmp_path)
    yield redis
    redis.stop()


@asynccontextmanager
async def serving(url: str):
    settings = Settings(jwt_secret=SECRET, drain_grace_s=1, redis_url=url, redis_timeout_s=0.2)
    async with AsyncExitStack() as resources:
        server = MeshServer("vision", settings, await build(settings, resources))
        await server.start()
        try:
            yield server
        finally:
            await server.stop()


def channel(server: MeshServer) -> MeshChannel:
    return MeshChannel(f"127.0.0.1:{server.grpc_port}", lambda: TOKEN)


class Stream:
    def __init__(self, mesh: MeshChannel) -> None:
        self.call = vision_pb2_grpc.VisionServiceStub(mesh.channel).Watch(**mesh.options(600))

    async def config(self) -> None:
        await self.call.write(pb.WatchRequest(config=pb.WatchConfig(policy=pb.POLICY_TIMER)))

    async def offer(self, *frame_ids: int) -> list[pb.FrameVerdict]:
        offers = [
            pb.Offer(frame_id=i, track=TRACK, captured_at_us=i * 1_000_000, luma=bytes(4096), width=64, height=48)
            for i in frame_ids
        ]
        await self.call.write(pb.WatchRequest(offers=pb.OfferBatch(offers=offers)))
        async with asyncio.timeout(DEADLINE_S):
            return list((await self.call.read()).verdicts.verdicts)  # type: ignore[attr-defined]

    async def upload(self, frame_id: int) -> None:
        await self.call.write(pb.WatchRequest(upload=pb.FrameUpload(frame_id=frame_id, track=TRACK, jpeg=JPEG)))

    async def end(self) -> None:
        await self.call.done_writing()
        while await self.call.read() is not grpc.aio.EOF:
            pass


async def listed(client: VisionClient, count: int) -> list[pb.Keyframe]:
    async with asyncio.timeout(DEADLINE_S):
        found = []
        while len(found) < count:
            found = (await client.list_keyframes("r", "t", limit=32)).keyframes  # type: ignore[assignment]
    return list(found)


async def test_keyframes_and_counts_are_shared_by_servers(redis_url):
    async with serving(redis_url) as one, serving(redis_url) as two:
        async with channel(one) as at_one, channel(two) as at_two:
            streams = [Stream(at_one), Stream(at_two)]
            for stream in streams:
                await stream.config()
                await stream.offer(1, 2, 3)
                await stream.upload(3)
            for stream in streams:
                await stream.end()
            found = await listed(VisionClient(at_two), 2)
            stats = [await VisionClient(mesh).get_stats(room="r", track="t") for mesh in (at_one, at_two)]
    assert [k.jpeg for k in found] == [JPEG, JPEG]
    assert [(s.total.offered, s.total.kept, s.degraded) for s in stats] == [(6, 6, False)] * 2
    assert stats[0].total.bytes_uploaded == 2 * len(JPEG)


async def test_counts_of_two_servers_are_exact(redis_url):
    async with serving(redis_url) as one, serving(redis_url) as two:
        async with channel(one) as at_one, channel(two) as at_two:

            async def run(mesh: MeshChannel) -> None:
                stream = Stream(mesh)
                await stream.config()
                for n in range(10):
                    await stream.offer(*range(n * 10 + 1, n * 10 + 11))
                await stream.end()

            await asyncio.gather(*(run(mesh) for mesh in (at_one, at_two) for _ in range(6)))
            stats = await VisionClient(at_two).get_stats()
    assert (stats.total.offered, stats.total.kept + stats.total.skipped) == (1200, 1200)


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
async def test_verdicts_continue_without_redis(own_redis, how):
    async with serving(own_redis.url) as server, channel(server) as mesh:
        client, stream = VisionClient(mesh), Stream(mesh)
        await stream.config()
        await stream.offer(1)
        await stream.upload(1)
        await listed(client, 1)
        os.kill(own_redis.process.pid, how)
        for frame_id in range(2, 30):
            (verdict,) = await stream.offer(frame_id)
            await stream.upload(frame_id)
            assert verdict.verdict == pb.VERDICT_KEEP
        with pytest.raises(errors.Unavailable, match="keyframe store is unavailable") as caught:
            await client.list_keyframes("r", "t")
        stats = await client.get_stats()
    assert caught.value.retry_after_s == 1
    assert (stats.degraded, stats.total.offered) == (True, 29)


async def test_counts_are_published_when_redis_is_back(own_redis):
    async with serving(own_redis.url) as server, channel(server) as mesh:
        stream = Stream(mesh)
        await stream.config()
        await stream.offer(1, 2)
        os.kill(own_redis.process.pid, signal.SIGSTOP)
        await stream.offer(3, 4, 5)
        assert (await VisionClient(mesh).get_stats()).degraded
        os.kill(own_redis.process.pid, signal.SIGCONT)
        async with serving(own_redis.url) as other, channel(other) as beside:
            async with asyncio.timeout(DEADLINE_S):
                offered = 0
                while offered < 5:
                    offered = (await VisionClient(beside).get_stats()).total.offered
    assert offered == 5
