"""MeshStt over a speech service in process."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import stt as agents_stt
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel
from hocket.chassis.errors import Unimplemented
from hocket.client.speech import SpeechClient
from services.media_gateway.session.stt import SAMPLE_RATE_HZ, MeshStt
from tests.fakes import mesh_peers
from tests.fakes.waiting import DEADLINE_S, until

FRAME = SAMPLE_RATE_HZ // 50
EVENTS = agents_stt.SpeechEventType


@asynccontextmanager
async def channel_to(peers):
    token = TokenMinter(mesh_peers.SECRET).mint("acme", caller="test")
    async with MeshChannel(peers.target, lambda: token) as channel:
        yield channel


class Harness:
    def __init__(self, channel) -> None:
        self.outages, self.costs, self.transcripts = 0, [], []
        self.stt = MeshStt(
            SpeechClient(channel),
            language="en-GB",
            key_terms=("Hocket",),
            room="demo",
            on_outage=self._count_outage,
            on_cost=self.costs.append,
            on_transcript=self.transcripts.append,
        )

    def _count_outage(self) -> None:
        self.outages += 1


def push(stream, *, loud: bool, frames: int) -> None:
    level = 8000 if loud else 0
    for _ in range(frames):
        stream.push_frame(rtc.AudioFrame(np.full(FRAME, level, np.int16).tobytes(), SAMPLE_RATE_HZ, 1, FRAME))


async def test_transcripts_are_interim_preflight_and_final_and_have_a_cost():
    async with mesh_peers.serving() as peers, channel_to(peers) as channel:
        harness = Harness(channel)
        peers.speech.transcripts = ["when do you open"]
        async with harness.stt.stream() as stream:
            push(stream, loud=True, frames=10)
            push(stream, loud=False, frames=12)
            stream.end_input()
            events = [event async for event in stream]
    assert [event.type for event in events] == [
        EVENTS.INTERIM_TRANSCRIPT,
        EVENTS.PREFLIGHT_TRANSCRIPT,
        EVENTS.FINAL_TRANSCRIPT,
        EVENTS.RECOGNITION_USAGE,
    ]
    assert events[2].alternatives[0].text == "when do you open"
    assert harness.transcripts == ["when do you", "when do you open", "when do you open"]
    assert harness.costs == [7]
    config = peers.speech.configs[0]
    assert (config.language, list(config.key_terms), config.room, config.sample_rate_hz) == (  # type: ignore[attr-defined]
        "en-GB",
        ["Hocket"],
        "demo",
        16_000,
    )


async def test_an_outage_is_reported_once_drops_audio_and_recovers():
    async with mesh_peers.serving() as peers, channel_to(peers) as channel:
        harness = Harness(channel)
        peers.speech.transcription_fails = True
        errors = []
        harness.stt.on("error", errors.append)
        async with harness.stt.stream() as stream:
            async with asyncio.timeout(DEADLINE_S):
                while not harness.outages:
                    push(stream, loud=True, frames=5)
                    await asyncio.sleep(0.02)
                peers.speech.transcription_fails = False
                peers.speech.transcripts = ["are you there"]
                await until(lambda: peers.speech.open_transcriptions)
            await asyncio.sleep(0.1)
            push(stream, loud=True, frames=10)
            push(stream, loud=False, frames=12)
            stream.end_input()
            finals = [e.alternatives[0].text async for e in stream if e.type == EVENTS.FINAL_TRANSCRIPT]
    assert finals == ["are you there"]
    assert (harness.outages, errors) == (1, [])


async def test_only_streams_are_transcribed():
    async with mesh_peers.serving() as peers, channel_to(peers) as channel:
        harness = Harness(channel)
        frame = rtc.AudioFrame(bytes(2 * FRAME), SAMPLE_RATE_HZ, 1, FRAME)
        with pytest.raises(Unimplemented):
            await harness.stt._recognize_impl(frame, conn_options=DEFAULT_API_CONNECT_OPTIONS)
