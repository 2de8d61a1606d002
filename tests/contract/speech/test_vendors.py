"""The vendors' adapters against emulators of their wire: what is sent, and what becomes of what they answer."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import WSMsgType, web
from hocket.speech.v1.speech_pb2 import SynthesizeConfig, TranscribeConfig

from hocket.chassis import errors
from services.speech.adapters.measured_engines import MeasuredSpeechToText, MeasuredTextToSpeech
from services.speech.ports import CostOutcome
from services.speech.prices import MINUTE_MS, THOUSAND_CHARACTERS, price_of
from tests.fakes.recorded_spans import record_spans, traceparent
from tests.fakes.waiting import DEADLINE_S

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

RATE_HZ = 16_000


@asynccontextmanager
async def emulator(method: str, path: str, answer: Callable) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route(method, path, answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def turn(event: str, text: str, end_s: float) -> str:
    words = [{"word": w, "confidence": 0.9, "start": 0.1 * i, "end": 0.1 * i + 0.1} for i, w in enumerate(text.split())]
    return json.dumps(
        {
            "type": "TurnInfo",
            "request_id": "r",
            "sequence_id": 1,
            "event": event,
            "turn_index": 0,
            "audio_window_start": 0.0,
            "audio_window_end": end_s,
            "transcript": text,
            "words": words,
            "end_of_turn_confidence": 0.5,
        }
    )


class Flux:
    """Answers the first audio with one turn, and remembers what it was sent."""

    def __init__(self, *, status: int = 0, fatal: bool = False) -> None:
        self.status, self.fatal = status, fatal
        self.query: list[tuple[str, str]] = []
        self.key = self.traceparent = ""
        self.audio = bytearray()
        self.closed = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.query, self.key = list(request.query.items()), request.headers.get("Authorization", "")
        self.traceparent = request.headers.get("traceparent", "")
        if self.status:
            return web.Response(status=self.status)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.BINARY and not self.audio:
                await self.first(socket)
            if message.type is WSMsgType.BINARY:
                self.audio += message.data
            elif message.type is WSMsgType.TEXT and json.loads(message.data)["type"] == "CloseStream":
                await socket.close()
        self.closed.set()
        return socket

    async def first(self, socket: web.WebSocketResponse) -> None:
        if self.fatal:
            await socket.send_str(json.dumps({"type": "Error", "sequence_id": 1, "code": "BROKE", "description": "x"}))
            return
        for event, text in (
            ("StartOfTurn", "where"),
            ("Update", "where is"),
            ("EagerEndOfTurn", "where is it"),
            ("TurnResumed", "where is it"),
            ("EndOfTurn", "where is it now"),
        ):
            await socket.send_str(turn(event, text, 0.8))


@asynccontextmanager
async def deepgram(serve, flux: Flux):
    # Imported here: the SDK's websockets warn of their own age.
    from services.speech.adapters.vendors.deepgram import DeepgramSpeechToText

    async with emulator("GET", "/v2/listen", flux.answer) as address:
        price = price_of("deepgram", "flux-general-en", override_micro_usd=60_000, per=MINUTE_MS)
        stt = DeepgramSpeechToText("dg-key", price, url=f"ws://{address}", eager_threshold=0.4, timeout_s=DEADLINE_S)
        async with serve(stt=MeasuredSpeechToText(stt)) as mesh:
            yield mesh


async def transcribe(mesh, config: TranscribeConfig) -> list[tuple[str, object]]:
    async with mesh.client.transcribe(config, DEADLINE_S) as stream:
        await stream.send_audio(bytes(config.sample_rate_hz // 50 * 2 * 40))
        events = []
        async for response in stream:
            events.append((response.WhichOneof("event"), response))
            if events[-1][0] == "end_of_turn":
                await stream.end()
        return events


async def test_flux_turns_become_events_with_the_eager_end_as_preflight(serve):
    flux = Flux()
    config = TranscribeConfig(sample_rate_hz=48_000, key_terms=["LiveKit", "a question of more than four words"])
    async with deepgram(serve, flux) as mesh:
        events = await transcribe(mesh, config)
        assert [kind for kind, _ in events] == [
            "speech_started",
            "interim",
            "interim",
            "preflight",
            "interim",
            "final",
            "usage",
            "end_of_turn",
        ]
        assert events[5][1].final.text == "where is it now"  # type: ignore[attr-defined]
        assert [w.text for w in events[5][1].final.words] == ["where", "is", "it", "now"]  # type: ignore[attr-defined]
        await asyncio.wait_for(flux.closed.wait(), DEADLINE_S)
        assert [(c.quantity, c.cost_micro_usd, c.outcome) for c in mesh.accounts.costs] == [(800, 800, CostOutcome.OK)]
    query = dict(flux.query)
    assert (query["model"], query["sample_rate"], query["encoding"]) == ("flux-general-en", "16000", "linear16")
    assert query["eager_eot_threshold"] == "0.4"
    assert [v for k, v in flux.query if k == "keyterm"] == ["LiveKit"]
    assert "dg-key" in flux.key
    # All but the filter's tail, at Flux's rate.
    assert 0 <= 0.8 * RATE_HZ * 2 - len(flux.audio) < RATE_HZ * 2 * 0.01


@pytest.mark.parametrize(
    ("flux", "error", "reason"),
    [
        (Flux(status=401), errors.FailedPrecondition, "VENDOR_CREDENTIALS"),
        (Flux(status=429), errors.ResourceExhausted, "RATE_LIMITED"),
        (Flux(status=500), errors.Unavailable, "DEPENDENCY_UNAVAILABLE"),
        (Flux(fatal=True), errors.Unavailable, "DEPENDENCY_UNAVAILABLE"),
    ],
)
async def test_an_error_of_flux_has_its_reason(serve, flux, error, reason):
    async with deepgram(serve, flux) as mesh:
        with pytest.raises(error) as caught:
            await transcribe(mesh, TranscribeConfig(sample_rate_hz=RATE_HZ))
    assert caught.value.reason == reason


async def test_a_cancelled_call_closes_the_vendors_socket(serve):
    flux = Flux()
    async with deepgram(serve, flux) as mesh:
        async with mesh.client.transcribe(TranscribeConfig(sample_rate_hz=RATE_HZ), DEADLINE_S) as stream:
            await stream.send_audio(bytes(6400))
            assert (await anext(aiter(stream))).HasField("speech_started")
        await asyncio.wait_for(flux.closed.wait(), DEADLINE_S)


class Eleven:
    """Speaks every request as 100 ms of audio in two uneven chunks, with times."""

    def __init__(self, *, status: int = 200) -> None:
        self.status = status
        self.requests: list[dict[str, object]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self.status != 200:
            return web.json_response({"detail": "no"}, status=self.status)
        body = await request.json()
        self.requests.append(
            {
                "voice": request.match_info["voice"],
                "format": request.query["output_format"],
                "key": request.headers["xi-api-key"],
                "traceparent": request.headers.get("traceparent", ""),
                **body,
            }
        )
        response = web.StreamResponse()
        await response.prepare(request)
        pcm, text = bytes(24_000 * 2 // 10), body["text"]
        for part, chars in ((pcm[:1001], text[:4]), (pcm[1001:], text[4:])):
            times = [0.01 * i for i in range(len(chars))]
            alignment = {
                "characters": list(chars),
                "character_start_times_seconds": times,
                "character_end_times_seconds": times,
            }
            line = {"audio_base64": base64.b64encode(part).decode(), "alignment": alignment}
            await response.write(json.dumps(line).encode() + b"\n")
        return response


@asynccontextmanager
async def elevenlabs(serve, eleven: Eleven):
    from services.speech.adapters.vendors.elevenlabs import ElevenLabsTextToSpeech

    async with emulator("POST", "/v1/text-to-speech/{voice}/stream/with-timestamps", eleven.answer) as address:
        price = price_of("elevenlabs", "eleven_flash_v2_5", override_micro_usd=None, per=THOUSAND_CHARACTERS)
        tts = ElevenLabsTextToSpeech(
            "el-key", price, url=f"http://{address}", default_voice="abc", timeout_s=DEADLINE_S
        )
        async with tts, serve(tts=MeasuredTextToSpeech(tts)) as mesh:
            yield mesh


async def test_each_segment_is_one_request_and_one_cost(serve):
    eleven = Eleven()
    async with elevenlabs(serve, eleven) as mesh:
        pcm, words = b"", []
        async with mesh.client.synthesize(SynthesizeConfig(sample_rate_hz=24_000), DEADLINE_S) as stream:
            await stream.send_text("Sure. It opens at nine.")
            await stream.end()
            async for response in stream:
                pcm += response.audio.pcm
                words += [w.text for w in response.audio.words]
        assert response.usage.cost_micro_usd == 50 * 22
        assert [(c.quantity, c.cost_micro_usd) for c in mesh.accounts.costs] == [(5, 250), (17, 850)]
    assert [(r["voice"], r["text"], r["format"], r["key"]) for r in eleven.requests] == [
        ("abc", "Sure.", "pcm_24000", "el-key"),
        ("abc", "It opens at nine.", "pcm_24000", "el-key"),
    ]
    assert len(pcm) == 2 * 24_000 * 2 // 10
    assert words == ["Sure.", "It", "opens", "at", "nine."]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, errors.FailedPrecondition),
        (404, errors.InvalidArgument),
        (429, errors.ResourceExhausted),
        (500, errors.Unavailable),
    ],
)
async def test_an_error_of_elevenlabs_has_its_class(serve, status, error):
    async with elevenlabs(serve, Eleven(status=status)) as mesh:
        with pytest.raises(error):
            await mesh.client.say("Hello.", SynthesizeConfig(sample_rate_hz=48_000))
        assert [c.outcome for c in mesh.accounts.costs] == [CostOutcome.FAILED]


async def test_both_vendors_receive_the_trace_of_the_call_to_them(serve, monkeypatch):
    spans, flux, eleven = record_spans(monkeypatch, "services.speech.adapters.measured_engines"), Flux(), Eleven()
    async with deepgram(serve, flux) as mesh:
        await transcribe(mesh, TranscribeConfig(sample_rate_hz=RATE_HZ))
    async with elevenlabs(serve, eleven) as mesh:
        await mesh.client.say("Sure.", SynthesizeConfig(sample_rate_hz=24_000))
    transcribed, synthesized = spans.get_finished_spans()
    assert (transcribed.name, synthesized.name) == ("transcribe flux-general-en", "synthesize eleven_flash_v2_5")
    assert (flux.traceparent, eleven.requests[0]["traceparent"]) == (traceparent(transcribed), traceparent(synthesized))
