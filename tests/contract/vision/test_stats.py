"""Frame counts are exact while streams and publications run concurrently."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from hocket.vision.v1 import vision_pb2 as pb
from hocket.vision.v1 import vision_pb2_grpc

from hocket.chassis.clock import SystemClock
from hocket.chassis.status import mesh_errors
from services.vision.flow import VisionFlow
from services.vision.stats.stats_table import StatsTable, TrackKey
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


async def test_counts_of_concurrent_streams_are_exact(serving, channel):
    async def one(mesh, stream: int) -> None:
        call = await opened(mesh)
        for n in range(20):
            await call.write(offers(*((n * 5 + i + 1, "t", (n * 5 + i) * 33_000) for i in range(5))))
            await answer(call)
        await call.done_writing()
        assert await answer(call) is grpc.aio.EOF

    async with serving() as server, channel(server) as mesh:
        await asyncio.gather(*(one(mesh, stream) for stream in range(8)))
        stats = await vision_pb2_grpc.VisionServiceStub(mesh.channel).GetStats(
            pb.GetStatsRequest(room="r", track="t"), **mesh.options(5)
        )
    assert (stats.total.offered, stats.total.kept, stats.total.skipped) == (800, 8, 792)
    assert stats.total.dedup_rate == pytest.approx(0.99)


class SlowStats:
    """Shared counts whose writes wait for an event."""

    def __init__(self) -> None:
        self.rows: dict[str, object] = {}
        self.writing = asyncio.Event()
        self.release = asyncio.Event()

    async def publish(self, tenant_id, rows, gone):
        self.writing.set()
        await self.release.wait()
        self.rows |= {row.uid: row for row in rows}

    async def read(self, tenant_id):
        return list(self.rows.values())


async def test_concurrent_get_stats_calls_return_the_same_counts():
    table = StatsTable(rows_ended_max=10, ended_ttl_s=60, republish_s=60)
    row = table.hold(TrackKey("acme", "r", "t"))
    row.counts.offered, row.dirty = 50, True
    store = SlowStats()
    needed = ("options", "limits", "quota", "keyframes", "images", "metrics")
    flow = VisionFlow(**dict.fromkeys(needed), stats_table=table, stats_store=store, clock=SystemClock())
    first = asyncio.create_task(flow.get_stats("acme", "", ""))
    await store.writing.wait()
    second = asyncio.create_task(flow.get_stats("acme", "", ""))
    await asyncio.sleep(0)
    store.release.set()
    async with asyncio.timeout(DEADLINE_S):
        offered = [(await call)[0].total.offered for call in (first, second)]
    assert offered == [50, 50]
