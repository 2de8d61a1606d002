"""MeshTts over a speech service in process."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel
from hocket.client.speech import SpeechClient
from services.media_gateway.session import tts as session_tts
from services.media_gateway.session.tts import MeshTts
from tests.fakes import mesh_peers
from tests.fakes.waiting import DEADLINE_S, until


@asynccontextmanager
async def channel_to(peers):
    token = TokenMinter(mesh_peers.SECRET).mint("acme", caller="test")
    async with MeshChannel(peers.target, lambda: token) as channel:
        yield channel


class Harness:
    def __init__(self, channel, next_audio_s: float = 5) -> None:
        self.failures, self.costs = 0, []
        self.tts = MeshTts(
            SpeechClient(channel),
            language="en-US",
            voice="",
            room="demo",
            sample_rate_hz=24_000,
            next_audio_s=next_audio_s,
            on_failure=self._count_failure,
            on_cost=self.costs.append,
        )
        self.errors = []
        self.tts.on("error", self.errors.append)

    def _count_failure(self) -> None:
        self.failures += 1

    async def speak(self, *texts: str) -> bytes:
        async with self.tts.stream() as stream:
            for text in texts:
                stream.push_text(text)
            stream.end_input()
            return b"".join([bytes(event.frame.data) async for event in stream])


async def test_text_is_synthesized_in_parts_and_has_a_cost():
    async with mesh_peers.serving() as peers, channel_to(peers) as channel:
        harness = Harness(channel)
        pcm = await harness.speak("The office ", "opens at nine.")
    assert peers.speech.synthesized == ["The office opens at nine."]
    assert len(pcm) >= 2 * 24_000 * 0.2
    assert (harness.failures, harness.costs, harness.errors) == (0, [11], [])


async def test_text_without_a_word_is_silent_and_no_failure():
    async with mesh_peers.serving() as peers, channel_to(peers) as channel:
        harness = Harness(channel)
        pcm = await harness.speak("...")
    assert not any(pcm)
    assert harness.errors == []


@pytest.mark.parametrize("failure", ["synthesis_fails", "synthesis_stalls"])
async def test_failed_synthesis_plays_the_recorded_apology(failure):
    async with mesh_peers.serving() as peers, channel_to(peers) as channel:
        harness = Harness(channel, next_audio_s=0.4)
        await harness.tts.record_apology()
        recorded = harness.tts.apology_pcm
        assert peers.speech.synthesized == [session_tts.APOLOGY]
        setattr(peers.speech, failure, True)
        for _ in range(5):
            assert (await harness.speak("The office opens at nine."))[: len(recorded)] == recorded
    assert (harness.failures, harness.errors) == (5, [])


async def test_synthesis_that_stalls_half_way_ends_without_an_apology():
    async with mesh_peers.serving() as peers, channel_to(peers) as channel:
        peers.speech.synthesizes_early = peers.speech.synthesis_stalls = True
        harness = Harness(channel, next_audio_s=0.4)
        pcm = await harness.speak("The office opens at nine.")
    assert 0 < len(pcm) <= 2 * 24_000 * 0.25
    assert (harness.failures, harness.errors) == (1, [])


async def test_without_a_recorded_apology_two_tones_are_played():
    async with mesh_peers.serving() as peers, channel_to(peers) as channel:
        peers.speech.synthesis_fails = True
        harness = Harness(channel)
        await harness.tts.record_apology()
        pcm = await harness.speak("The office opens at nine.")
    assert pcm[: len(session_tts.tones(24_000))] == session_tts.tones(24_000)


async def test_closing_the_stream_cancels_the_synthesis_at_speech():
    async with mesh_peers.serving() as peers, channel_to(peers) as channel:
        peers.speech.synthesis_stalls = True
        harness = Harness(channel, next_audio_s=30)
        stream = harness.tts.stream()
        stream.push_text("The office opens at nine.")
        stream.end_input()
        await until(lambda: peers.speech.synthesized)
        await stream.aclose()
        await asyncio.wait_for(peers.speech.cancelled.wait(), DEADLINE_S)
