"""Transcribe over real gRPC with the embedded recogniser, and the round trip with the embedded voice."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from hocket.speech.v1 import speech_pb2_grpc
from hocket.speech.v1.speech_pb2 import SynthesizeConfig, TranscribeConfig, TranscribeRequest

from hocket.chassis import errors
from hocket.chassis.status import mesh_errors
from hocket.client.speech import SpeechClient
from services.speech.errors import engine_failed
from services.speech.events import AudioConsumed, SpeechStarted
from services.speech.ports import STT_LIMIT, CostOutcome
from services.speech.prices import PriceRow
from tests.fakes.waiting import DEADLINE_S

RATE_HZ = 16_000
QUESTION = "when does the office open on monday"
TERMS = [
    QUESTION,
    "What time does the meeting start?",
    "Where is the nearest coffee shop?",
    "How do I reset my password?",
    "What is the price of the premium plan?",
    "Who is the manager of the support team?",
    "Can you remind me to call the dentist tomorrow?",
    "What is the refund policy?",
    "How long does shipping take?",
    "Is there parking near the building?",
    "What are the opening hours on Sunday?",
    "How do I cancel my subscription?",
    "Which payment methods do you accept?",
    "Where can I find my invoice?",
    "Do you deliver to Canada?",
    "How many vacation days do I have?",
    "What is the wifi password?",
    "How do I change my email address?",
    "Is breakfast included in the room rate?",
    "Can I bring my dog to the hotel?",
    "Ask hocket about Grafana and LiveKit.",
]
CONFIG = TranscribeConfig(sample_rate_hz=RATE_HZ, key_terms=TERMS, room="lobby")


async def question(mesh, rate_hz: int = RATE_HZ, text: str = QUESTION) -> bytes:
    """Return the spoken question with noise, after 0.5 s and before 1 s of silence."""
    pcm = await mesh.client.say(text, SynthesizeConfig(sample_rate_hz=rate_hz, voice="en-us"))
    speech = np.frombuffer(pcm, "<i2")
    audio = np.concatenate([np.zeros(rate_hz // 2), speech * 0.5, np.zeros(rate_hz)])
    return (audio + np.random.default_rng(1).normal(0, 10, len(audio))).astype("<i2").tobytes()


async def transcribe(mesh, config, audio: bytes, packet: int = 640, *, timeout_s: float = 600, end: bool = True):
    """Return all events of `audio`, sent in packets as fast as the service accepts them."""
    async with mesh.client.transcribe(config, timeout_s) as stream:

        async def send() -> None:
            for at in range(0, len(audio), packet):
                await stream.send_audio(audio[at : at + packet])
            if end:
                await stream.end()

        sending = asyncio.create_task(send())
        events = [(r.WhichOneof("event"), r) async for r in stream]
        await sending
    return events


def words_wrong(wanted: str, recognised: str) -> int:
    """Return the number of words of `wanted` that are missing in `recognised`, without regard to order."""
    left = recognised.split()
    for word in wanted.split():
        if word in left:
            left.remove(word)
    return len(wanted.split()) - (len(recognised.split()) - len(left))


async def test_a_spoken_question_is_transcribed(mesh):
    events = await transcribe(mesh, CONFIG, await question(mesh))
    kinds = [kind for kind, _ in events]
    steps = [k for k in kinds if k != "interim"]
    assert steps[0] == "speech_started"
    # The silence after the turn is a usage of its own, unless it had come before the final did.
    steps = steps[:-1] if steps[-1] == "usage" else steps
    assert steps[-3:] == ["final", "usage", "end_of_turn"]
    assert set(steps[1:-3]) == {"preflight"}
    final = next(r.final for kind, r in events if kind == "final")
    assert words_wrong(QUESTION, final.text) <= 1
    assert kinds.index("preflight") < kinds.index("final") < kinds.index("end_of_turn")
    starts = [w.start.ToMilliseconds() for w in final.words]
    assert " ".join(w.text for w in final.words) == final.text
    assert starts == sorted(starts)
    assert 400 < starts[0] < starts[-1] < final.audio_end.ToMilliseconds()


@pytest.mark.parametrize("rate_hz", [24_000, 48_000])
async def test_other_sample_rates_are_transcribed(mesh, rate_hz):
    config = TranscribeConfig(sample_rate_hz=rate_hz, key_terms=TERMS)
    events = await transcribe(mesh, config, await question(mesh, rate_hz), packet=rate_hz // 25)
    assert words_wrong(QUESTION, next(r.final.text for kind, r in events if kind == "final")) <= 2


async def test_silence_gives_no_transcript_and_is_recorded_as_cost(mesh):
    events = await transcribe(mesh, CONFIG, bytes(RATE_HZ * 2 * 3))
    assert [kind for kind, _ in events] == ["usage"]
    assert events[0][1].usage.audio.ToMilliseconds() == 3_000
    assert [(c.quantity, c.outcome, c.room) for c in mesh.accounts.costs] == [(3_000, CostOutcome.OK, "lobby")]


async def test_usages_and_costs_add_up_to_the_audio(mesh):
    audio = await question(mesh) * 2
    events = await transcribe(mesh, CONFIG, audio)
    heard_ms = sum(r.usage.audio.ToMilliseconds() for kind, r in events if kind == "usage")
    assert heard_ms == len(audio) // 2 * 1000 // RATE_HZ
    assert heard_ms == sum(c.quantity for c in mesh.accounts.costs if c.limit == STT_LIMIT)
    assert [kind for kind, _ in events].count("end_of_turn") == 2
    # Asked for in blocks of ten seconds.
    assert [s for s in mesh.accounts.spent if s[0] == STT_LIMIT] == [(STT_LIMIT, 10)] * -(-heard_ms // 10_000)


async def test_a_flush_gives_the_final_transcript_at_once(mesh):
    audio = await question(mesh)
    speech = audio[: -RATE_HZ * 2]
    async with mesh.client.transcribe(CONFIG, 600) as stream:
        await stream.send_audio(speech)
        await stream.flush()
        kinds = []
        async for response in stream:
            kinds.append(response.WhichOneof("event"))
            if kinds[-1] == "end_of_turn":
                break
    assert kinds.index("final") < kinds.index("end_of_turn")


async def test_the_config_sets_the_turn_silence(mesh):
    config = TranscribeConfig(
        sample_rate_hz=RATE_HZ, key_terms=TERMS, end_of_turn_silence=Duration(seconds=0, nanos=800_000_000)
    )
    events = await transcribe(mesh, config, await question(mesh) + bytes(RATE_HZ))
    final = next(i for i, (kind, _) in enumerate(events) if kind == "final")
    ended = next(i for i, (kind, _) in enumerate(events) if kind == "end_of_turn")
    assert final < ended


async def test_without_key_terms_the_open_model_transcribes(mesh):
    events = await transcribe(mesh, TranscribeConfig(sample_rate_hz=RATE_HZ), await question(mesh))
    assert next(r.final.text for kind, r in events if kind == "final")


async def test_a_cancelled_call_records_the_audio_so_far(mesh):
    async with mesh.client.transcribe(CONFIG, 600) as stream:
        await stream.send_audio(await question(mesh))
        async for response in stream:
            if response.HasField("speech_started"):
                break
    cost = await asyncio.wait_for(mesh.accounts.cost_of(STT_LIMIT), DEADLINE_S)
    assert cost.outcome is CostOutcome.CANCELLED
    assert cost.quantity > 0


async def test_the_deadline_ends_a_stream_and_frees_its_slot(serve):
    async with serve(streams_max=1) as mesh:
        with pytest.raises(errors.DeadlineExceeded):
            await transcribe(mesh, CONFIG, b"", timeout_s=0.3, end=False)
        assert (await transcribe(mesh, CONFIG, bytes(3200)))[-1][0] == "usage"


async def test_a_stream_above_the_maximum_is_refused(serve):
    async with serve(streams_max=1) as mesh, mesh.client.transcribe(CONFIG, 600) as stream:
        await stream.send_audio(await question(mesh))
        assert (await anext(aiter(stream))).HasField("speech_started")
        with pytest.raises(errors.ResourceExhausted) as caught:
            await transcribe(mesh, CONFIG, bytes(3200))
    assert caught.value.reason == "OVERLOADED"


async def test_a_spent_limit_ends_the_stream(mesh):
    mesh.accounts.exhausted = STT_LIMIT
    with pytest.raises(errors.ResourceExhausted):
        await transcribe(mesh, CONFIG, bytes(3200))
    assert mesh.accounts.costs == []


class BreakingSpeechToText:
    """Reports an onset, then fails."""

    price = PriceRow("breaking", "b-1", "2026-11-01", 60_000, 60_000)

    @asynccontextmanager
    async def open(self, config):
        yield self

    async def push_audio(self, pcm) -> None:
        return

    async def end_audio(self) -> None:
        return

    async def events(self):
        yield SpeechStarted(0.0)
        await asyncio.sleep(0.1)
        yield AudioConsumed(0.1)
        raise engine_failed("breaking", "broke")


async def test_an_engine_failure_is_unavailable(serve):
    async with serve(stt=BreakingSpeechToText()) as mesh:
        with pytest.raises(errors.Unavailable, match="breaking: broke"):
            await transcribe(mesh, CONFIG, bytes(3200), packet=3200, end=False)
        assert [(c.cost_micro_usd, c.outcome) for c in mesh.accounts.costs] == [(100, CostOutcome.OK)]


@pytest.mark.parametrize(
    ("requests", "reason", "field"),
    [
        ([TranscribeRequest(audio=bytes(640))], "STREAM_ORDER", "payload"),
        ([TranscribeRequest()], "STREAM_ORDER", "payload"),
        ([], "STREAM_ORDER", "payload"),
        ([TranscribeRequest(config=CONFIG)] * 2, "STREAM_ORDER", "payload"),
        ([TranscribeRequest(config=TranscribeConfig())], "INVALID_FIELD", "config.sample_rate_hz"),
        ([TranscribeRequest(config=TranscribeConfig(sample_rate_hz=96_000))], "INVALID_FIELD", "config.sample_rate_hz"),
        (
            [TranscribeRequest(config=TranscribeConfig(sample_rate_hz=RATE_HZ, language="de-DE"))],
            "INVALID_FIELD",
            "config.language",
        ),
        (
            [TranscribeRequest(config=TranscribeConfig(sample_rate_hz=RATE_HZ, key_terms=["x"] * 501))],
            "TOO_LARGE",
            "config.key_terms",
        ),
        (
            [TranscribeRequest(config=TranscribeConfig(sample_rate_hz=RATE_HZ, key_terms=["x", "é" * 101]))],
            "TOO_LARGE",
            "config.key_terms[1]",
        ),
        (
            [
                TranscribeRequest(
                    config=TranscribeConfig(sample_rate_hz=RATE_HZ, end_of_turn_silence=Duration(seconds=6))
                )
            ],
            "INVALID_FIELD",
            "config.end_of_turn_silence",
        ),
        ([TranscribeRequest(config=CONFIG), TranscribeRequest(audio=bytes(641))], "INVALID_FIELD", "audio"),
        ([TranscribeRequest(config=CONFIG), TranscribeRequest(audio=b"")], "INVALID_FIELD", "audio"),
        ([TranscribeRequest(config=CONFIG), TranscribeRequest(audio=bytes(32_002))], "TOO_LARGE", "audio"),
        ([TranscribeRequest(config=CONFIG), TranscribeRequest()], "INVALID_FIELD", "payload"),
    ],
)
async def test_invalid_input_is_refused_with_its_field(mesh, requests, reason, field):
    stub = speech_pb2_grpc.SpeechServiceStub(mesh.channel.channel)
    with pytest.raises(errors.InvalidArgument) as caught, mesh_errors():
        async for _ in stub.Transcribe(iter(requests), **mesh.channel.options(5)):
            pass
    assert (caught.value.reason, list(caught.value.fields)) == (reason, [field])


async def test_a_call_without_a_token_is_unauthenticated(mesh):
    # Refused by then or not, the opening is sent: either step may be the one that learns it.
    with pytest.raises(errors.Unauthenticated):
        async with mesh.open("") as channel, SpeechClient(channel).transcribe(CONFIG, 5) as stream:
            await anext(aiter(stream))
