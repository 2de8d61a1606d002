"""A draining server ends each stream with its final counts."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from hocket.vision.v1 import vision_pb2 as pb
from hocket.vision.v1 import vision_pb2_grpc

from hocket.chassis import errors
from hocket.chassis.status import mesh_errors
from hocket.client.vision import VisionClient
from tests.fakes.waiting import DEADLINE_S

FLAT = bytes([100]) * 4096


def offers(*values: tuple[int, str, int], room: str = "r") -> pb.WatchRequest:
    """Return a batch of (frame id, track, capture time in microseconds)."""
    return pb.WatchRequest(
        offers=pb.OfferBatch(
            offers=[
                pb.Offer(
                    frame_id=frame_id,
                    track=pb.TrackRef(room=room, track=track),
                    captured_at_us=at_us,
                    luma=FLAT,
                    width=64,
                    height=64,
                )
                for frame_id, track, at_us in values
            ]
        )
    )


async def opened(mesh, **config):
    call = vision_pb2_grpc.VisionServiceStub(mesh.channel).Watch(**mesh.options(60))
    await call.write(pb.WatchRequest(config=pb.WatchConfig(**config)))
    return call


async def answer(call) -> pb.WatchResponse:
    with mesh_errors():
        async with asyncio.timeout(DEADLINE_S):
            return await call.read()


async def test_streams_of_a_draining_server_end_with_final_stats(serving, channel):
    async with serving() as server, channel(server) as mesh:
        call = await opened(mesh)
        await call.write(offers((1, "t", 0), (2, "t", 33_000), (1, "u", 0)))
        await answer(call)
        idle = await opened(mesh)
        await idle.write(offers((1, "t", 0), room="other"))
        await answer(idle)
        stopping = asyncio.create_task(server.stop())
        last, other = await answer(call), await answer(idle)
        assert await answer(call) is grpc.aio.EOF
        await asyncio.wait_for(stopping, DEADLINE_S)
    total = last.final_stats.total
    assert (total.offered, total.kept, total.skipped) == (3, 2, 1)
    assert {(t.track, t.offered) for t in last.final_stats.tracks} == {("t", 2), ("u", 1)}
    assert other.final_stats.total.offered == 1


async def test_silent_clients_do_not_delay_the_drain(serving, channel):
    async with serving(drain_grace_s=2 * DEADLINE_S) as server, channel(server) as mesh:
        calls = [
            vision_pb2_grpc.VisionServiceStub(mesh.channel).Watch(**mesh.options(60)),
            vision_pb2_grpc.VisionServiceStub(mesh.channel).Dedup(**mesh.options(60)),
        ]
        await VisionClient(mesh).get_stats()
        async with asyncio.timeout(DEADLINE_S):
            await server.stop()
        for call in calls:
            with pytest.raises(errors.Unavailable) as caught:
                await answer(call)
            # RetryInfo of 0 s: retry at once, on another replica.
            assert (caught.value.reason, caught.value.retry_after_s) == ("DRAINING", 0)
