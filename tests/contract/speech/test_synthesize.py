"""Synthesize over real gRPC with the embedded voice."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hocket.speech.v1 import speech_pb2_grpc
from hocket.speech.v1.speech_pb2 import SynthesizeConfig, SynthesizeRequest

from hocket.chassis import errors
from hocket.chassis.status import mesh_errors
from hocket.client.speech import SpeechClient
from services.speech.adapters.embedded.espeak import EspeakLibrary, EspeakTextToSpeech
from services.speech.errors import engine_failed
from services.speech.events import AudioChunk
from services.speech.ports import TTS_LIMIT, CostOutcome, SynthesisConfig
from services.speech.prices import PriceRow
from tests.fakes.waiting import DEADLINE_S

CONFIG = SynthesizeConfig(sample_rate_hz=16_000, voice="en-us", room="lobby")


async def collect(stream):
    return [(r.WhichOneof("event"), r) async for r in stream]


async def test_synthesis_sends_format_first_and_usage_last(mesh):
    async with mesh.client.synthesize(CONFIG, DEADLINE_S) as stream:
        for delta in ("Sure, the mee", "ting starts", " at nine. Anything", " else?"):
            await stream.send_text(delta)
        await stream.end()
        events = await collect(stream)
    kinds = [kind for kind, _ in events]
    assert (kinds[0], kinds[-1], set(kinds[1:-1])) == ("format", "usage", {"audio"})
    assert events[0][1].format.sample_rate_hz == 16_000
    pieces = [r.audio.pcm for kind, r in events if kind == "audio"]
    assert max(len(p) for p in pieces) <= 16_000 * 2 * 50 // 1000
    usage = events[-1][1].usage
    assert (usage.characters, usage.provider, usage.cost_micro_usd) == (46, "embedded", 0)
    assert usage.audio.ToMilliseconds() == sum(len(p) for p in pieces) // 2 * 1000 // 16_000


async def test_audio_starts_without_silence_and_words_have_times(mesh):
    async with mesh.client.synthesize(CONFIG, DEADLINE_S) as stream:
        await stream.send_text("Where is the nearest coffee shop?")
        await stream.end()
        events = await collect(stream)
    samples = np.frombuffer(b"".join(r.audio.pcm for _, r in events), "<i2")
    assert np.abs(samples[: 16_000 // 50].astype(int)).max() > 50
    words = [w for _, r in events for w in r.audio.words]
    assert [w.text.strip("?") for w in words] == ["Where", "is", "the", "nearest", "coffee", "shop"]
    starts = [w.start.ToMilliseconds() for w in words]
    assert starts == sorted(starts)
    assert starts[-1] < len(samples) / 16
    assert all(w.end.ToMilliseconds() > w.start.ToMilliseconds() for w in words)


async def test_a_flush_speaks_the_held_text_and_is_acknowledged(mesh):
    async with mesh.client.synthesize(CONFIG, DEADLINE_S) as stream:
        await stream.send_text("One moment")
        await stream.flush()
        kinds = []
        async for response in stream:
            kinds.append(response.WhichOneof("event"))
            if kinds[-1] == "flushed":
                break
        await stream.send_text("please")
        await stream.end()
        kinds += [kind for kind, _ in await collect(stream)]
    assert kinds.index("flushed") > kinds.index("audio")
    assert "audio" in kinds[kinds.index("flushed") :]
    assert kinds[-1] == "usage"


async def test_each_segment_is_one_cost_and_one_spend(mesh):
    async with mesh.client.synthesize(CONFIG, DEADLINE_S) as stream:
        await stream.send_text("Yes. It is. ")
        await stream.end()
        await collect(stream)
    assert [(c.quantity, c.outcome, c.room, c.limit) for c in mesh.accounts.costs] == [
        (4, CostOutcome.OK, "lobby", TTS_LIMIT),
        (6, CostOutcome.OK, "lobby", TTS_LIMIT),
    ]
    assert mesh.accounts.spent == [(TTS_LIMIT, 4), (TTS_LIMIT, 6)]


async def test_say_returns_the_whole_audio_in_the_requested_voice(mesh):
    one = await mesh.client.say("Hello there.", SynthesizeConfig(sample_rate_hz=48_000, voice="en-gb"))
    other = await mesh.client.say("Hello there.", SynthesizeConfig(sample_rate_hz=48_000, voice="en-us+f3"))
    assert min(len(one), len(other)) > 48_000 * 2 // 4
    assert one != other


def test_without_voice_and_language_the_default_voice_is_used():
    # By name: espeak-ng never says a text twice alike.
    library = EspeakLibrary.shared()
    tts = EspeakTextToSpeech(library, default_voice="en-gb")
    chosen = [
        tts._identifier(SynthesisConfig(0, language, name))
        for language, name in (("", ""), ("en-US", ""), ("fr", "de"))
    ]
    assert chosen == [library.identifier(name) for name in ("en-gb", "en-us", "de")]


def test_an_unknown_default_voice_fails_at_start():
    with pytest.raises(errors.InvalidArgument, match="embedded_voice: .zz. is no voice"):
        EspeakTextToSpeech(EspeakLibrary.shared(), default_voice="zz")


async def test_text_without_letters_gives_no_audio(mesh):
    async with mesh.client.synthesize(CONFIG, DEADLINE_S) as stream:
        await stream.send_text("--- \n **\n")
        await stream.end()
        assert [kind for kind, _ in await collect(stream)] == ["format", "usage"]


class SlowTextToSpeech:
    """Speaks one piece at a time until it is closed, or fails."""

    price = PriceRow("slow", "slow-1", "2026-11-01", 1000, 1)

    def __init__(self, *, failing: bool = False) -> None:
        self.failing = failing
        self.closed = asyncio.Event()

    def output_rate_hz(self, config) -> int:
        return 16_000

    async def synthesize(self, segment, config):
        try:
            while True:
                yield AudioChunk(bytes(640))
                if self.failing:
                    raise engine_failed("slow", "broke")
                await asyncio.sleep(0.01)
        finally:
            self.closed.set()


async def test_a_cancel_stops_the_engine_and_ends_with_the_usage(serve):
    tts = SlowTextToSpeech()
    async with serve(tts=tts) as mesh, mesh.client.synthesize(CONFIG, DEADLINE_S) as stream:
        await stream.send_text("A sentence without end. ")
        kinds = []
        async for response in stream:
            kinds.append(response.WhichOneof("event"))
            if kinds.count("audio") == 3:
                await stream.cancel()
        assert tts.closed.is_set()
        assert kinds[-1] == "usage"
        assert response.usage.cost_micro_usd == 1000 * 23
        assert [(c.outcome, c.quantity) for c in mesh.accounts.costs] == [(CostOutcome.CANCELLED, 23)]


async def test_a_cancelled_call_stops_the_engine(serve):
    tts = SlowTextToSpeech()
    async with serve(tts=tts) as mesh:
        async with mesh.client.synthesize(CONFIG, DEADLINE_S) as stream:
            await stream.send_text("A sentence without end. ")
            async for response in stream:
                if response.HasField("audio"):
                    break
        await asyncio.wait_for(tts.closed.wait(), DEADLINE_S)
        assert [c.outcome for c in mesh.accounts.costs] == [CostOutcome.CANCELLED]


async def test_the_deadline_stops_the_engine(serve):
    tts = SlowTextToSpeech()
    async with serve(tts=tts) as mesh:
        with pytest.raises(errors.DeadlineExceeded):
            await mesh.client.say("A sentence without end. ", CONFIG, timeout_s=0.3)
        await asyncio.wait_for(tts.closed.wait(), DEADLINE_S)


async def test_an_engine_failure_is_unavailable_and_recorded_as_failed(serve):
    async with serve(tts=SlowTextToSpeech(failing=True)) as mesh:
        with pytest.raises(errors.Unavailable, match="slow: broke"):
            await mesh.client.say("It breaks. ", CONFIG)
        assert [c.outcome for c in mesh.accounts.costs] == [CostOutcome.FAILED]


async def test_a_spent_limit_ends_the_stream_with_retry_after(mesh):
    mesh.accounts.exhausted = TTS_LIMIT
    with pytest.raises(errors.ResourceExhausted) as caught:
        await mesh.client.say("Hello.", CONFIG)
    assert caught.value.retry_after_s == 2.0
    assert mesh.accounts.costs == []


@pytest.mark.parametrize(
    ("requests", "reason", "field"),
    [
        ([SynthesizeRequest(text="hi")], "STREAM_ORDER", "payload"),
        ([], "STREAM_ORDER", "payload"),
        ([SynthesizeRequest(config=CONFIG)] * 2, "STREAM_ORDER", "payload"),
        ([SynthesizeRequest(config=SynthesizeConfig(sample_rate_hz=7999))], "INVALID_FIELD", "config.sample_rate_hz"),
        ([SynthesizeRequest(config=SynthesizeConfig(sample_rate_hz=48001))], "INVALID_FIELD", "config.sample_rate_hz"),
        ([SynthesizeRequest(config=SynthesizeConfig(voice="nobody"))], "INVALID_FIELD", "config.voice"),
        ([SynthesizeRequest(config=SynthesizeConfig(voice="en-us+nobody"))], "INVALID_FIELD", "config.voice"),
        ([SynthesizeRequest(config=SynthesizeConfig(voice="../../etc/passwd"))], "INVALID_FIELD", "config.voice"),
        ([SynthesizeRequest(config=SynthesizeConfig(language="tlh-x"))], "INVALID_FIELD", "config.language"),
        ([SynthesizeRequest(config=SynthesizeConfig(room="r" * 129))], "TOO_LARGE", "config.room"),
        ([SynthesizeRequest(config=SynthesizeConfig(room="a\nb"))], "INVALID_FIELD", "config.room"),
        ([SynthesizeRequest(config=CONFIG), SynthesizeRequest(text="x" * 16_385)], "TOO_LARGE", "text"),
        ([SynthesizeRequest(config=CONFIG), SynthesizeRequest()], "INVALID_FIELD", "payload"),
    ],
)
async def test_invalid_input_is_refused_with_its_field(mesh, requests, reason, field):
    stub = speech_pb2_grpc.SpeechServiceStub(mesh.channel.channel)
    with pytest.raises(errors.InvalidArgument) as caught, mesh_errors():
        async for _ in stub.Synthesize(iter(requests), **mesh.channel.options(5)):
            pass
    assert (caught.value.reason, list(caught.value.fields)) == (reason, [field])


async def test_a_call_without_a_token_is_unauthenticated(mesh):
    async with mesh.open("") as channel:
        with pytest.raises(errors.Unauthenticated):
            await SpeechClient(channel).say("Hello.", CONFIG)


async def test_text_after_the_end_of_a_stream_is_dropped(mesh):
    async with mesh.client.synthesize(CONFIG, DEADLINE_S) as stream:
        await stream.cancel()
        assert [kind for kind, _ in await collect(stream)] == ["format", "usage"]
        await stream.send_text("too late")
