"""Streams with refused offers and clients that do not read are slowed or cancelled; others keep their pace."""

from __future__ import annotations

import asyncio
from functools import partial
from types import SimpleNamespace

import pytest
from hocket.vision.v1 import vision_pb2 as pb
from hocket.vision.v1 import vision_pb2_grpc
from prometheus_client import REGISTRY

from hocket.chassis.status import mesh_errors
from services.vision import __main__ as wiring
from services.vision.flow import VisionFlow
from tests.fakes.waiting import DEADLINE_S, until

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


async def flood(call) -> None:
    """Offer without end and never read."""
    for frame_id in range(1, 1_000_000):
        await call.write(offers(*((frame_id, f"t{i}", frame_id) for i in range(64))))


def open_streams() -> float:
    return REGISTRY.get_sample_value("hocket_vision_streams_open", {"policy": "cells"}) or 0.0


async def test_a_stream_with_refused_offers_is_read_later(serving, channel, monkeypatch):
    waits, over = [], asyncio.Event()

    async def sleep(wait_s: float) -> None:
        waits.append(wait_s)
        if wait_s:
            await over.wait()

    monkeypatch.setattr(wiring, "VisionFlow", partial(VisionFlow, sleep=sleep))
    async with serving(tracks_per_stream_max=1) as server, channel(server) as mesh:
        flooding, beside = await opened(mesh), await opened(mesh)
        await flooding.write(offers((1, "mine", 0)))
        await answer(flooding)
        assert waits == []
        await flooding.write(offers(*((1, f"t{i}", 0) for i in range(100))))
        assert len((await answer(flooding)).verdicts.rejections) == 16
        await flooding.write(offers((2, "mine", 33_000)))
        held = asyncio.create_task(answer(flooding))
        for frame_id in range(1, 20):
            await beside.write(offers((frame_id, "other", frame_id * 33_000)))
            assert (await answer(beside)).verdicts.verdicts[0].frame_id == frame_id
        assert not held.done()
        over.set()
        assert (await held).verdicts.verdicts[0].frame_id == 2
    # A yield within the long message, the delay after it, and the delay of its turn. Accepted offers add none.
    assert waits == [0, pytest.approx(0.4), pytest.approx(0.02)]


async def test_a_client_that_never_reads_is_cancelled(serving, channel):
    before = open_streams()
    async with serving(unread_timeout_s=0.3) as server, channel(server) as mesh, channel(server) as other:
        silent = await opened(mesh)
        flooding = asyncio.create_task(flood(silent))
        await until(lambda: open_streams() > before)
        await until(lambda: open_streams() == before)
        call = await opened(other)
        await call.write(offers((1, "mine", 0)))
        assert (await answer(call)).verdicts.verdicts[0].frame_id == 1
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)


async def test_delayed_streams_wait_only_for_their_own_tenant():
    needed = ("options", "limits", "quota", "stats_table", "keyframes", "stats_store", "images", "clock")
    metrics = SimpleNamespace(held_back_seconds=SimpleNamespace(inc=lambda _: None))
    flow = VisionFlow(**dict.fromkeys(needed), metrics=metrics, sleep=lambda _: asyncio.sleep(0))
    others = flow._resuming.setdefault("other", asyncio.Lock())
    async with others, asyncio.timeout(DEADLINE_S):
        # The lock of the other tenant is held during the call.
        await flow.apply_backpressure("acme", 1, 10)
