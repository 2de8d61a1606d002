"""Whole pictures of one tenant beside a flood of another's, judged by order and counts."""

from __future__ import annotations

import asyncio
from functools import partial

import numpy as np
from hocket.vision.v1 import vision_pb2 as pb
from hocket.vision.v1 import vision_pb2_grpc

from hocket.chassis.status import mesh_errors
from services.vision import __main__ as wiring
from services.vision.adapters.images import PillowImages
from services.vision.flow import VisionFlow
from tests.fakes.waiting import DEADLINE_S, until

STREAMS = 12
PIXELS = np.zeros((48, 64, 3), np.uint8).tobytes()


def whole(frame_id: int, *, width: int = 64, height: int = 48) -> pb.DedupRequest:
    """Return a black picture; it is rejected if its size does not match its bytes."""
    track = pb.TrackRef(room="r", track=f"{width}x{height}")
    frame = pb.WholeFrame(
        frame_id=frame_id, track=track, format=pb.PIXEL_FORMAT_RGB24, data=PIXELS, width=width, height=height
    )
    return pb.DedupRequest(frame=frame)


async def opened(mesh):
    call = vision_pb2_grpc.VisionServiceStub(mesh.channel).Dedup(**mesh.options(60))
    await call.write(pb.DedupRequest(config=pb.DedupConfig()))
    return call


async def answer(call) -> pb.DedupResponse:
    with mesh_errors():
        async with asyncio.timeout(DEADLINE_S):
            return await call.read()


class Reading:
    """Decoder that the test releases; records the order of frames."""

    def __init__(self, monkeypatch) -> None:
        self.began: list[int] = []
        self._may_end = asyncio.Semaphore(0)
        self.flows: list[VisionFlow] = []
        read = PillowImages.decode

        async def held(images, frame, policy):
            self.began.append(frame.width)
            await self._may_end.acquire()
            return await read(images, frame, policy)

        def kept(**given):
            self.flows.append(VisionFlow(**given))
            return self.flows[-1]

        monkeypatch.setattr(PillowImages, "decode", held)
        monkeypatch.setattr(wiring, "VisionFlow", kept)

    def end(self, count: int) -> None:
        for _ in range(count):
            self._may_end.release()


async def test_whole_frames_of_tenants_are_served_round_robin(serving, channel, monkeypatch):
    reading = Reading(monkeypatch)
    async with serving(image_threads=1) as server, channel(server) as mesh, channel(server, "rival") as rivals:
        flood, neighbour = [await opened(rivals) for _ in range(STREAMS)], await opened(mesh)
        for call in flood:
            for frame_id in range(1, 6):
                await call.write(whole(frame_id))
        turns = reading.flows[0].whole_frame_slots
        await until(lambda: turns.waiting("rival") == STREAMS - 3)
        assert reading.began == [64] * 3
        for frame_id in range(1, 6):
            await neighbour.write(whole(frame_id, width=32, height=96))
            await until(lambda: turns.waiting("acme") == 1)
            before = len(reading.began)
            reading.end(2)
            await until(lambda before=before: len(reading.began) >= before + 2)  # type: ignore[misc]
            # One of the next two slots goes to the neighbour, although nine other frames waited first.
            assert 32 in reading.began[before : before + 2]
            # The frames in progress before it, and its own.
            reading.end(3)
            assert (await answer(neighbour)).result.verdict.frame_id == frame_id
        reading.end(STREAMS * 5)


async def test_streams_with_rejected_frames_do_not_delay_a_neighbour(serving, channel, monkeypatch):
    over = asyncio.Event()

    async def sleep(wait_s: float) -> None:
        if wait_s:
            await over.wait()

    monkeypatch.setattr(wiring, "VisionFlow", partial(VisionFlow, sleep=sleep))
    async with serving() as server, channel(server) as mesh, channel(server, "rival") as rivals:
        flood, neighbour = [await opened(rivals) for _ in range(STREAMS)], await opened(mesh)
        for call in flood:
            for frame_id in range(1, 11):
                await call.write(whole(frame_id, height=47))
            assert (await answer(call)).rejection.field == "frame.data"
        held = [asyncio.create_task(answer(call)) for call in flood]
        for frame_id in range(1, 21):
            await neighbour.write(whole(frame_id))
            assert (await answer(neighbour)).result.verdict.frame_id == frame_id
        # The server has read one of the ten frames of each stream.
        assert not any(task.done() for task in held)
        over.set()
        assert [(await task).rejection.frame_id for task in held] == [2] * STREAMS
