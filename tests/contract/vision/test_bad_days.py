"""What happens when clients misbehave and servers stop: bounded, said clearly, and nobody else is slowed."""

from __future__ import annotations

import asyncio
from functools import partial

import grpc
import pytest
from hocket.vision.v1 import vision_pb2 as pb
from hocket.vision.v1 import vision_pb2_grpc
from prometheus_client import REGISTRY

from hocket.chassis import errors
from hocket.chassis.status import mesh_errors
from services.vision import __main__ as wiring
from services.vision.flow import VisionFlow
from tests.fakes.waiting import DEADLINE_S, until

FLAT = bytes([100]) * 4096


def offers(*values: tuple[int, str, int], room: str = "r") -> pb.WatchRequest:
    """A batch of (frame id, track, captured at in microseconds)."""
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


async def test_ten_thousand_tracks_are_bounded_and_refused_clearly(serving, channel, monkeypatch):
    # Without the waits that hold such a stream back: its tracks would grow idle and give way.
    monkeypatch.setattr(wiring, "VisionFlow", partial(VisionFlow, sleep=lambda _: asyncio.sleep(0)))
    async with serving(tracks_per_stream_max=100) as server, channel(server) as mesh:
        call = await opened(mesh)
        kept, refused = 0, []
        for start in range(0, 10_000, 250):
            await call.write(offers(*((1, f"t{start + i}", 0) for i in range(250))))
            batch = (await answer(call)).verdicts
            kept += len(batch.verdicts)
            refused += batch.rejections
            assert len(batch.rejections) <= 16
        await call.write(offers((2, "t0", 33_000)))
        assert (await answer(call)).verdicts.verdicts[0].frame_id == 2
        beside = await opened(mesh)
        await beside.write(offers((1, "mine", 0)))
        assert (await answer(beside)).verdicts.verdicts[0].cause == pb.CAUSE_FIRST
    assert kept == 100
    assert {r.reason for r in refused} == {"OVERLOADED"}
    assert "holds 100 tracks" in refused[0].message


async def test_a_stream_whose_offers_are_refused_is_read_no_further_for_a_while(serving, channel, monkeypatch):
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
    # The turn given to others within the message, the wait after it, its own turn; and none for offers in order.
    assert waits == [0, pytest.approx(0.4), pytest.approx(0.02)]


async def test_tracks_of_an_ended_stream_are_given_back(serving, channel):
    async with serving(tracks_max=2) as server, channel(server) as mesh:
        for _ in range(3):
            call = await opened(mesh)
            await call.write(offers((1, "a", 0), (1, "b", 0), (1, "c", 0)))
            batch = (await answer(call)).verdicts
            assert (len(batch.verdicts), len(batch.rejections)) == (2, 1)
            await call.done_writing()
            assert await answer(call) is grpc.aio.EOF


async def test_a_client_that_never_reads_is_cut_off_and_slows_nobody(serving, channel):
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


async def flood(call) -> None:
    """Offer without end and never read."""
    for frame_id in range(1, 1_000_000):
        await call.write(offers(*((frame_id, f"t{i}", frame_id) for i in range(64))))


def open_streams() -> float:
    return REGISTRY.get_sample_value("hocket_vision_streams_open", {"policy": "cells"}) or 0.0


@pytest.mark.parametrize("count", [0, 257])
async def test_an_empty_or_oversized_batch_ends_the_stream_by_name(serving, channel, count):
    async with serving() as server, channel(server) as mesh:
        call = await opened(mesh)
        await call.write(offers(*((1, f"t{i}", 0) for i in range(count))))
        with pytest.raises(errors.InvalidArgument) as caught:
            await answer(call)
    assert list(caught.value.fields) == ["offers.offers"]


async def test_a_second_config_ends_the_stream(serving, channel):
    async with serving() as server, channel(server) as mesh:
        call = await opened(mesh)
        await call.write(pb.WatchRequest(config=pb.WatchConfig()))
        with pytest.raises(errors.InvalidArgument) as caught:
            await answer(call)
    assert caught.value.reason == "STREAM_ORDER"


async def test_a_clock_that_jumps_back_gets_verdicts_all_the_same(serving, channel):
    async with serving() as server, channel(server) as mesh:
        call = await opened(mesh, policy=pb.POLICY_TIMER)
        times = [0, 300_000, -5_000_000_000, -4_999_700_000, 2**62]
        await call.write(offers(*((i + 1, "t", at_us) for i, at_us in enumerate(times))))
        verdicts = (await answer(call)).verdicts.verdicts
    assert [v.verdict == pb.VERDICT_KEEP for v in verdicts] == [True, True, False, True, True]


@pytest.mark.parametrize(
    ("upload", "reason", "field"),
    [
        ({"frame_id": 2, "jpeg": b"\xff\xd8\xff"}, "INVALID_FIELD", "upload.jpeg"),
        ({"frame_id": 1, "jpeg": b"no picture"}, "INVALID_FIELD", "upload.jpeg"),
        ({"frame_id": 1, "jpeg": b"\xff" * (1024 * 1024 + 1)}, "TOO_LARGE", "upload.jpeg"),
    ],
)
async def test_an_upload_that_is_no_picture_is_refused_and_the_stream_goes_on(serving, channel, upload, reason, field):
    async with serving() as server, channel(server) as mesh:
        call = await opened(mesh)
        await call.write(offers((1, "t", 0)))
        await answer(call)
        await call.write(pb.WatchRequest(upload=pb.FrameUpload(track=pb.TrackRef(room="r", track="t"), **upload)))
        rejection = (await answer(call)).rejection
        await call.write(offers((2, "t", 33_000)))
        assert (await answer(call)).verdicts.verdicts[0].frame_id == 2
    assert (rejection.reason, rejection.field, rejection.frame_id) == (reason, field, upload["frame_id"])


async def test_a_frame_that_was_not_kept_or_comes_twice_is_not_taken(serving, channel, jpeg):
    track = pb.TrackRef(room="r", track="t")
    async with serving() as server, channel(server) as mesh:
        call = await opened(mesh)
        await call.write(offers((1, "t", 0), (2, "t", 33_000)))
        await answer(call)
        for frame_id in (1, 1, 2):
            await call.write(pb.WatchRequest(upload=pb.FrameUpload(frame_id=frame_id, track=track, jpeg=jpeg)))
        refused = [(await answer(call)).rejection for _ in range(2)]
    assert [(r.frame_id, r.reason) for r in refused] == [(1, "STREAM_ORDER"), (2, "STREAM_ORDER")]


async def test_a_stopping_server_ends_streams_with_their_counts(serving, channel):
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


async def test_counts_are_exact_when_streams_of_one_track_run_together(serving, channel):
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


@pytest.mark.parametrize(
    ("values", "field"),
    [({"limit": 33}, "limit"), ({"limit": -1}, "limit"), ({"track": None}, "track.room")],
)
async def test_list_keyframes_names_what_is_wrong(serving, channel, values, field):
    request = pb.ListKeyframesRequest(**{"track": pb.TrackRef(room="r", track="t"), **values})
    async with serving() as server, channel(server) as mesh:
        with pytest.raises(errors.InvalidArgument) as caught, mesh_errors():
            await vision_pb2_grpc.VisionServiceStub(mesh.channel).ListKeyframes(request, **mesh.options(5))
    assert list(caught.value.fields) == [field]


async def test_statistics_of_a_track_need_its_room(serving, channel):
    async with serving() as server, channel(server) as mesh:
        with pytest.raises(errors.InvalidArgument, match="room"), mesh_errors():
            await vision_pb2_grpc.VisionServiceStub(mesh.channel).GetStats(
                pb.GetStatsRequest(track="t"), **mesh.options(5)
            )
