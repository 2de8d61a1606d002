"""The emulated vendors speak the mesh's contracts: what a gateway relies on comes, and in order."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hocket.llm_router.v1 import llm_router_pb2 as llm
from hocket.speech.v1 import speech_pb2 as speech

from bench.voice.delays import Delays
from bench.voice.vendors import ANSWER, assembly
from hocket.chassis.channel import MeshChannel
from hocket.chassis.errors import Unimplemented
from hocket.chassis.server import MeshServer
from hocket.chassis.settings import ServerSettings
from hocket.client.llm_router import RouterClient
from hocket.client.speech import SpeechClient
from tests.fakes.waiting import DEADLINE_S

QUICK = Delays(first_token_s=0.001, token_s=0, first_audio_s=0.001)
RATE_HZ = 16_000


@pytest.fixture
async def channel():
    server = MeshServer("bench_vendors", ServerSettings(drain_grace_s=0), assembly(QUICK))
    await server.start()
    async with MeshChannel(f"127.0.0.1:{server.grpc_port}", str) as opened:
        yield opened
    await server.stop()


async def test_a_turn_is_started_guessed_and_ended_with_the_text_that_was_guessed(channel):
    loud, quiet = np.full(RATE_HZ // 2, 9000, "<i2"), np.zeros(RATE_HZ // 2, "<i2")
    events: list[tuple[str, str]] = []
    async with SpeechClient(channel).transcribe(speech.TranscribeConfig(sample_rate_hz=RATE_HZ), 10) as stream:
        sound = np.concatenate([loud, quiet]).tobytes()
        for start in range(0, len(sound), 640):
            await stream.send_audio(sound[start : start + 640])
        await stream.end()
        async for response in stream:
            kind = response.WhichOneof("event")
            events.append((kind, getattr(getattr(response, kind), "text", "")))
    assert [kind for kind, _ in events if kind != "interim"] == ["speech_started", "preflight", "final", "end_of_turn"]
    texts = {text for kind, text in events if kind in {"preflight", "final"}}
    assert len(texts) == 1


async def test_text_becomes_a_tone_that_is_loud_at_once(channel):
    pcm = await SpeechClient(channel).say("Sure.", speech.SynthesizeConfig(sample_rate_hz=24_000))
    assert abs(int(np.frombuffer(pcm, "<i2")[0])) > 1000


async def test_the_router_tells_its_route_then_the_answer_then_its_end(channel):
    async with asyncio.timeout(DEADLINE_S):
        events = [e async for e in RouterClient(channel).generate(llm.GenerateRequest(), timeout_s=5)]
    assert [e.WhichOneof("event") for e in events] == ["route", *["text_delta"] * len(ANSWER), "finish"]
    assert events[-1].finish.usage.output_tokens == len(ANSWER)


async def test_what_is_not_emulated_says_so(channel):
    with pytest.raises(Unimplemented):
        await RouterClient(channel).list_models()
