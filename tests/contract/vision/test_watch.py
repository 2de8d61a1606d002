"""Watch over a real socket: verdicts, uploads, rejections and the end of a stream."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hocket.vision.v1 import vision_pb2 as pb
from hocket.vision.v1 import vision_pb2_grpc

from hocket.chassis import errors
from hocket.chassis.channel import MeshChannel
from hocket.chassis.status import mesh_errors
from hocket.client.vision import I420Frame, VisionClient
from tests.fakes.waiting import DEADLINE_S, until
from tests.fakes.watched import PATIENT

FLAT = bytes([100]) * 4096


def offer(
    frame_id: int, at_s: float = 0.0, *, luma: bytes = FLAT, room: str = "r", track: str = "t", **values
) -> pb.Offer:
    return pb.Offer(
        frame_id=frame_id,
        track=pb.TrackRef(room=room, track=track),
        captured_at_us=int(at_s * 1e6),
        luma=luma,
        width=1280,
        height=720,
        **values,
    )


class Stream:
    """One Watch call, message by message."""

    def __init__(self, mesh: MeshChannel, timeout_s: float = 20) -> None:
        self.call = vision_pb2_grpc.VisionServiceStub(mesh.channel).Watch(**mesh.options(timeout_s))

    async def config(self, **values) -> None:
        await self.call.write(pb.WatchRequest(config=pb.WatchConfig(**values)))

    async def send(self, *offers: pb.Offer) -> pb.VerdictBatch:
        await self.call.write(pb.WatchRequest(offers=pb.OfferBatch(offers=offers)))
        return (await self.read()).verdicts

    async def read(self) -> pb.WatchResponse:
        with mesh_errors():
            response = await self.call.read()
        assert isinstance(response, pb.WatchResponse), "the stream has ended"
        return response


def jpeg(width: int = 64, height: int = 48) -> bytes:
    import simplejpeg

    return simplejpeg.encode_jpeg(np.zeros((height, width, 3), np.uint8))


async def test_the_first_frame_is_kept_and_a_repeat_is_skipped(serving, channel):
    async with serving() as server, channel(server) as mesh:
        stream = Stream(mesh)
        await stream.config()
        batch = await stream.send(offer(1, 10.0), offer(2, 10.033))
    first, second = batch.verdicts
    assert (first.verdict, first.cause, first.frame_id) == (pb.VERDICT_KEEP, pb.CAUSE_FIRST, 1)
    assert (second.verdict, second.cause, second.frame_id) == (pb.VERDICT_SKIP, pb.CAUSE_UNCHANGED, 2)
    assert second.next_frame_in.nanos == pytest.approx(1e9 / 30, abs=1)


async def test_a_refused_offer_is_named_and_the_stream_continues(serving, channel):
    async with serving() as server, channel(server) as mesh:
        stream = Stream(mesh)
        await stream.config()
        batch = await stream.send(offer(1), offer(2, luma=b"short"), offer(1), offer(3, room=""))
        after = await stream.send(offer(4, 1.0))
    assert [v.frame_id for v in batch.verdicts] == [1]
    assert [(r.frame_id, r.reason, r.field) for r in batch.rejections] == [
        (2, "INVALID_FIELD", "offers[1].luma"),
        (1, "STREAM_ORDER", ""),
        (3, "INVALID_FIELD", "offers[3].track.room"),
    ]
    assert after.verdicts[0].frame_id == 4


async def test_a_stream_without_a_config_is_refused(serving, channel):
    async with serving() as server, channel(server) as mesh:
        stream = Stream(mesh)
        await stream.call.write(pb.WatchRequest(offers=pb.OfferBatch(offers=[offer(1)])))
        with pytest.raises(errors.InvalidArgument) as caught:
            await stream.read()
    assert caught.value.reason == "STREAM_ORDER"


async def test_a_session_delivers_and_uploads_keyframes(serving, channel):
    kept: list[tuple[bytes, object]] = []
    frames = [I420Frame(bytes([level]) * (320 * 240 * 3 // 2), 320, 240) for level in (40, 40, 200)]
    async with serving() as server, channel(server) as mesh:
        client = VisionClient(mesh)
        async with client.watch(lambda data, keyframe: kept.append((data, keyframe)), rules=PATIENT) as session:
            await until(lambda: session.connected)
            for index, frame in enumerate(frames):
                session.submit("r", "t", frame, captured_at_s=5.0 + index)
                await until(lambda: session.pending_offers == 0)
            await until(lambda: len(kept) == 2)
        await until_listed(client, 2)
        stats = await client.get_stats()
    assert all(data.startswith(b"\xff\xd8\xff") for data, _ in kept)
    assert (stats.total.offered, stats.total.kept) == (session.stats.offered, 2)
    assert stats.total.bytes_uploaded == sum(len(data) for data, _ in kept)


async def until_listed(client: VisionClient, count: int, timeout_s: float = DEADLINE_S) -> None:
    async with asyncio.timeout(timeout_s):
        while len((await client.list_keyframes("r", "t", limit=5)).keyframes) < count:  # noqa: ASYNC110 - polls a server
            await asyncio.sleep(0.01)


async def test_listed_keyframes_fit_into_one_message(serving, channel):
    track = pb.TrackRef(room="r", track="t")
    large = jpeg() + bytes(900_000)
    async with serving() as server, channel(server) as mesh:
        stream, client = Stream(mesh), VisionClient(mesh)
        await stream.config(policy=pb.POLICY_TIMER)
        for frame_id in range(1, 7):
            await stream.send(offer(frame_id, float(frame_id)))
            await stream.call.write(pb.WatchRequest(upload=pb.FrameUpload(frame_id=frame_id, track=track, jpeg=large)))
        await stream.send(offer(9, 9.0))
        async with asyncio.timeout(DEADLINE_S):
            listed = []
            while len(listed) < 6:
                listed = (await client.list_keyframes("r", "t", limit=32, include_jpeg=False)).keyframes  # type: ignore[assignment]
        full = (await client.list_keyframes("r", "t", limit=32)).keyframes
    assert [k.frame_id for k in listed] == [6, 5, 4, 3, 2, 1]
    assert [k.frame_id for k in full] == [6, 5, 4, 3]
    assert all((k.width, k.height, len(k.jpeg)) == (64, 48, len(large)) for k in full)
