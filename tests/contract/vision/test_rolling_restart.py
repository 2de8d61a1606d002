"""A rolling restart under constantly moving pictures, through the real client, on the clock of the videos."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import pairwise

import numpy as np
import pytest
from hocket.vision.v1 import vision_pb2 as pb

from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel
from hocket.client.vision import I420Frame, Keyframe, PacingRules, VisionClient, WatchSession
from tests.contract.vision.conftest import SECRET
from tests.fakes.waiting import until
from tests.fakes.watched import free_port

TRACKS = ("a", "b", "c")
FPS = 30
SHOWN_S = 2.0
BUSY_S = 0.25
# Frames per track without a connected server: 0.1 s of video.
OFFLINE_FRAMES = 3
# Long enough that the fallback timer never runs: all keyframes come from verdicts.
PATIENT = PacingRules(verdict_timeout_s=60)


def mouth() -> Iterator[I420Frame]:
    """Yield a picture of which some cells change with every frame."""
    rng = np.random.default_rng(1)
    while True:
        luma = np.full((64, 64), 100, np.uint8)
        luma[20:30, 20:30] = rng.integers(16, 236, (10, 10))
        yield I420Frame(luma.tobytes() + bytes([128]) * 2048, 64, 64)


def pan() -> Iterator[I420Frame]:
    """Yield a picture that moves by two cells per frame."""
    wall = np.random.default_rng(2).integers(16, 236, (64, 64), dtype=np.uint8)
    while True:
        wall = np.roll(wall, 2, axis=1)
        yield I420Frame(wall.tobytes() + bytes([128]) * 2048, 64, 64)


class Video:
    """Submits the next frames of every track to a session."""

    def __init__(self, session: WatchSession, pictures: Iterator[I420Frame]) -> None:
        self._session = session
        self._pictures = pictures
        self.frames = 0

    def show_one(self) -> None:
        picture = next(self._pictures)
        for track in TRACKS:
            self._session.submit("r", track, picture, captured_at_s=self.frames / FPS)
        self.frames += 1

    async def show(self, seconds: float) -> None:
        """Submit each frame after the verdict on the one before."""
        for _ in range(round(seconds * FPS)):
            self.show_one()
            await until(lambda: self._session.pending_offers == 0)


async def watch(serving, pictures: Iterator[I420Frame], *, restarts: int) -> list[Keyframe]:
    """Return the keyframes of two seconds, and of two more after each restart, on alternating servers."""
    kept: list[Keyframe] = []
    ports = free_port(), free_port()
    target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving(grpc_port=ports[0]))
        mesh = await stack.enter_async_context(MeshChannel(target, TokenMinter(SECRET).source("acme", caller="test")))
        watching = VisionClient(mesh).watch(lambda _, keyframe: kept.append(keyframe), rules=PATIENT)
        session = await stack.enter_async_context(watching)
        await until(lambda: session.connected)
        video = Video(session, pictures)
        await video.show(SHOWN_S)
        for restart in range(2):
            if restart < restarts:
                previous, server = server, await stack.enter_async_context(serving(grpc_port=ports[1 - restart]))
                await previous.stop()
            for _ in range(OFFLINE_FRAMES):
                video.show_one()
            await until(lambda: session.connected)
            await video.show(SHOWN_S)
        await until(lambda: session._encoder.idle)
        assert session.error is None
    return kept


@pytest.mark.parametrize("pictures", [mouth, pan])
async def test_a_restart_costs_moving_pictures_at_most_one_keyframe(pictures, serving):
    undisturbed = await watch(serving, pictures(), restarts=0)
    kept = await watch(serving, pictures(), restarts=2)
    assert not any(keyframe.by_timer for keyframe in kept)
    for track in TRACKS:
        of_track = [keyframe for keyframe in kept if keyframe.track == track]
        assert sum(keyframe.cause == pb.CAUSE_FIRST for keyframe in of_track) == 3
        assert len(of_track) <= sum(keyframe.track == track for keyframe in undisturbed) + 2
        times = [keyframe.captured_at_s for keyframe in of_track]
        assert max(b - a for a, b in pairwise(times)) <= BUSY_S + (OFFLINE_FRAMES + 2) / FPS
