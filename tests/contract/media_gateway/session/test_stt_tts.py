"""A session's ears and voice, over a speech service in process."""

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
from services.media_gateway.session import tts as livekit_tts
from services.media_gateway.session.stt import SAMPLE_RATE_HZ, MeshStt
from services.media_gateway.session.tts import MeshTts
from tests.fakes import mesh_peers
from tests.fakes.waiting import DEADLINE_S

FRAME = SAMPLE_RATE_HZ // 50
EVENTS = agents_stt.SpeechEventType


@asynccontextmanager
async def channel_to(peers):
    token = TokenMinter(mesh_peers.SECRET).mint("acme", caller="test")
    async with MeshChannel(peers.target, lambda: token) as channel:
        yield channel


class Heard:
    def __init__(self, channel) -> None:
        self.troubles, self.costs, self.words = 0, [], []
        self.stt = MeshStt(
            SpeechClient(channel),
            language="en-GB",
            key_terms=("Hocket",),
            room="demo",
            on_trouble=self._trouble,
            on_cost=self.costs.append,
            on_words=self.words.append,
        )

    def _trouble(self) -> None:
        self.troubles += 1


def push(stream, *, loud: bool, frames: int) -> None:
    level = 8000 if loud else 0
    for _ in range(frames):
        stream.push_frame(rtc.AudioFrame(np.full(FRAME, level, np.int16).tobytes(), SAMPLE_RATE_HZ, 1, FRAME))


async def test_words_come_as_interim_preflight_and_final_and_are_paid_for():
    async with mesh_peers.serving() as peers, channel_to(peers) as channel:
        heard = Heard(channel)
        peers.speech.lines = ["when do you open"]
        async with heard.stt.stream() as stream:
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
    assert heard.words == ["when do you", "when do you open", "when do you open"]
    assert heard.costs == [7]
    config = peers.speech.configs[0]
    assert (config.language, list(config.key_terms), config.room, config.sample_rate_hz) == (
        "en-GB",
        ["Hocket"],
        "demo",
        16_000,
    )


async def test_dead_ears_are_told_of_once_drop_what_was_said_and_come_back():
    async with mesh_peers.serving() as peers, channel_to(peers) as channel:
        heard = Heard(channel)
        peers.speech.dead_ears = True
        errors = []
        heard.stt.on("error", errors.append)
        async with heard.stt.stream() as stream:
            async with asyncio.timeout(DEADLINE_S):
                while not heard.troubles:
                    push(stream, loud=True, frames=5)
                    await asyncio.sleep(0.02)
                peers.speech.dead_ears = False
                peers.speech.lines = ["are you there"]
                while not peers.speech.listeners:  # noqa: ASYNC110 - it comes as it comes
                    await asyncio.sleep(0.02)
            await asyncio.sleep(0.1)
            push(stream, loud=True, frames=10)
            push(stream, loud=False, frames=12)
            stream.end_input()
            finals = [e.alternatives[0].text async for e in stream if e.type == EVENTS.FINAL_TRANSCRIPT]
    assert finals == ["are you there"]
    assert (heard.troubles, errors) == (1, [])


async def test_ears_take_streams_only():
    async with mesh_peers.serving() as peers, channel_to(peers) as channel:
        heard = Heard(channel)
        frame = rtc.AudioFrame(bytes(2 * FRAME), SAMPLE_RATE_HZ, 1, FRAME)
        with pytest.raises(Unimplemented):
            await heard.stt._recognize_impl(frame, conn_options=DEFAULT_API_CONNECT_OPTIONS)


class Voiced:
    def __init__(self, channel, next_audio_s: float = 5) -> None:
        self.troubles, self.costs = 0, []
        self.tts = MeshTts(
            SpeechClient(channel),
            language="en-US",
            voice="",
            room="demo",
            sample_rate_hz=24_000,
            next_audio_s=next_audio_s,
            on_trouble=self._trouble,
            on_cost=self.costs.append,
        )
        self.errors = []
        self.tts.on("error", self.errors.append)

    def _trouble(self) -> None:
        self.troubles += 1

    async def speak(self, *texts: str) -> bytes:
        async with self.tts.stream() as stream:
            for text in texts:
                stream.push_text(text)
            stream.end_input()
            return b"".join([bytes(event.frame.data) async for event in stream])


async def test_text_is_spoken_as_it_comes_and_paid_for():
    async with mesh_peers.serving() as peers, channel_to(peers) as channel:
        voiced = Voiced(channel)
        pcm = await voiced.speak("The office ", "opens at nine.")
    assert peers.speech.spoken == ["The office opens at nine."]
    assert len(pcm) >= 2 * 24_000 * 0.2
    assert (voiced.troubles, voiced.costs, voiced.errors) == (0, [11], [])


async def test_text_without_a_word_is_no_failure():
    async with mesh_peers.serving() as peers, channel_to(peers) as channel:
        voiced = Voiced(channel)
        pcm = await voiced.speak("...")
    assert not any(pcm)
    assert voiced.errors == []


@pytest.mark.parametrize("trouble", ["dead_voice", "mute"])
async def test_a_voice_that_fails_plays_the_apology_recorded_while_it_was_well(trouble):
    async with mesh_peers.serving() as peers, channel_to(peers) as channel:
        voiced = Voiced(channel, next_audio_s=0.4)
        await voiced.tts.record_apology()
        recorded = voiced.tts.apology_pcm
        assert peers.speech.spoken == [livekit_tts.APOLOGY]
        setattr(peers.speech, trouble, True)
        for _ in range(5):
            assert (await voiced.speak("The office opens at nine."))[: len(recorded)] == recorded
    assert (voiced.troubles, voiced.errors) == (5, [])


async def test_a_voice_that_stalls_half_way_ends_the_speech_without_an_apology_on_top():
    async with mesh_peers.serving() as peers, channel_to(peers) as channel:
        peers.speech.speaks_early = peers.speech.mute = True
        voiced = Voiced(channel, next_audio_s=0.4)
        pcm = await voiced.speak("The office opens at nine.")
    assert 0 < len(pcm) <= 2 * 24_000 * 0.25
    assert (voiced.troubles, voiced.errors) == (1, [])


async def test_without_a_recording_two_tones_are_played():
    async with mesh_peers.serving() as peers, channel_to(peers) as channel:
        peers.speech.dead_voice = True
        voiced = Voiced(channel)
        await voiced.tts.record_apology()
        pcm = await voiced.speak("The office opens at nine.")
    assert pcm[: len(livekit_tts.tones(24_000))] == livekit_tts.tones(24_000)


async def test_speech_that_is_interrupted_is_cancelled_at_the_service():
    async with mesh_peers.serving() as peers, channel_to(peers) as channel:
        peers.speech.mute = True
        voiced = Voiced(channel, next_audio_s=30)
        stream = voiced.tts.stream()
        stream.push_text("The office opens at nine.")
        stream.end_input()
        async with asyncio.timeout(DEADLINE_S):
            while not peers.speech.spoken:  # noqa: ASYNC110 - it comes as it comes
                await asyncio.sleep(0.01)
        await stream.aclose()
        await asyncio.wait_for(peers.speech.cancelled.wait(), DEADLINE_S)
