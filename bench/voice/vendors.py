"""Emulated vendors as gRPC services: python -m bench.voice.vendors prints its address and serves until SIGTERM.

SpeechService and LlmRouterService with set delays. They run in a process of their own, so that they share no event loop
with the caller, on whose clock the benchmark measures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
from google.protobuf.duration_pb2 import Duration
from hocket.llm_router.v1 import llm_router_pb2 as llm
from hocket.llm_router.v1 import llm_router_pb2_grpc as llm_grpc
from hocket.speech.v1 import speech_pb2 as speech
from hocket.speech.v1 import speech_pb2_grpc as speech_grpc

from bench.voice.delays import Delays
from bench.voice.endpointing import EmulatedEndpointer, Event
from hocket.chassis.errors import Unimplemented
from hocket.chassis.server import Assembly, MeshServer, Servicer
from hocket.chassis.settings import ServerSettings

Context = grpc.aio.ServicerContext[Any, Any]
ANSWER = ("Sure.", " That", " is", " easy:", " it", " opens", " at", " nine", " in", " the", " morning.")
LOUD_AMPLITUDE = 400
_TONE_HZ, _TONE_AMPLITUDE, _TONE_S = 330, 9000, 0.8
_CHUNK_S = 0.04
_ONLY_GENERATE = "the emulated router serves Generate only"
_SPEED = 4  # vendors stream audio about four times faster than real time


class EmulatedSpeech(speech_grpc.SpeechServiceServicer):
    """A recogniser that detects speech by loudness, and a voice that is a tone, loud from its first sample."""

    def __init__(self, delays: Delays) -> None:
        """Answer with `delays`."""
        self._delays = delays

    async def Transcribe(
        self, request_iterator: AsyncIterator[speech.TranscribeRequest], _context: Context
    ) -> AsyncIterator[speech.TranscribeResponse]:
        """Send the events of the emulated endpointing; the text counts turns and milliseconds of speech."""
        endpointer, turn, rate_hz = EmulatedEndpointer(self._delays), 1, 16_000
        async for request in request_iterator:
            if request.HasField("config"):
                rate_hz = request.config.sample_rate_hz
                continue
            pcm = np.frombuffer(request.audio, "<i2")
            for event in endpointer.push(
                len(pcm) * 1_000_000 // rate_hz, loud=bool(np.abs(pcm).max(initial=0) >= LOUD_AMPLITUDE)
            ):
                # The text changes with every frame of speech: a preflight sent in a pause must differ from the final.
                text = f"this is question {turn} of {endpointer.loud_us // 1000} milliseconds"
                for response in _responses(event, text, endpointer.audio_us):
                    yield response
                turn += event is Event.FINAL

    async def Synthesize(
        self, request_iterator: AsyncIterator[speech.SynthesizeRequest], _context: Context
    ) -> AsyncIterator[speech.SynthesizeResponse]:
        """Send a tone after the first text, in chunks at four times real time."""
        rate_hz, characters, first = 24_000, 0, True
        async for request in request_iterator:
            if request.HasField("config"):
                rate_hz = request.config.sample_rate_hz or rate_hz
                yield speech.SynthesizeResponse(format=speech.AudioFormat(sample_rate_hz=rate_hz))
            elif request.HasField("cancel"):
                break
            elif request.HasField("flush"):
                yield speech.SynthesizeResponse(flushed=speech.Flushed())
            elif request.text.strip():
                characters += len(request.text)
                if first:
                    first = False
                    await asyncio.sleep(self._delays.first_audio_s)
                    for pcm in _tone(rate_hz):
                        yield speech.SynthesizeResponse(audio=speech.Audio(pcm=pcm))
                        await asyncio.sleep(_CHUNK_S / _SPEED)
        usage = speech.SynthesizeUsage(characters=characters, provider="emulated", model="tone")
        yield speech.SynthesizeResponse(usage=usage)


def _responses(event: Event, text: str, audio_us: int) -> list[speech.TranscribeResponse]:
    at = Duration()
    at.FromMicroseconds(audio_us)
    transcript = speech.Transcript(text=text, audio_end=at)
    match event:
        case Event.STARTED:
            return [speech.TranscribeResponse(speech_started=speech.SpeechStarted(audio_start=at))]
        case Event.INTERIM:
            return [speech.TranscribeResponse(interim=transcript)]
        case Event.PREFLIGHT:
            return [speech.TranscribeResponse(preflight=transcript)]
        case Event.FINAL:
            end = speech.EndOfTurn(speech_end=at)
            return [speech.TranscribeResponse(final=transcript), speech.TranscribeResponse(end_of_turn=end)]


def _tone(rate_hz: int) -> list[bytes]:
    times = np.arange(int(rate_hz * _TONE_S)) / rate_hz
    # A cosine is loud from its first sample; the leading silence of a real voice comes on top of these numbers.
    tone = (_TONE_AMPLITUDE * np.cos(2 * np.pi * _TONE_HZ * times)).astype("<i2")
    size = int(rate_hz * _CHUNK_S)
    return [tone[start : start + size].tobytes() for start in range(0, len(tone), size)]


class EmulatedModel(llm_grpc.LlmRouterServiceServicer):
    """A language model with one constant answer at a vendor's pace."""

    def __init__(self, delays: Delays) -> None:
        """Answer with `delays`."""
        self._delays = delays

    async def Generate(self, _request: llm.GenerateRequest, _context: Context) -> AsyncIterator[llm.GenerateResponse]:
        """Send a route, the answer token by token, and a finish."""
        began_s = time.monotonic()
        route = llm.RouteDecision(tier=llm.TIER_SIMPLE, model="emulated", provider="emulated", attempt=1)
        yield llm.GenerateResponse(route=route)
        await asyncio.sleep(self._delays.first_token_s)
        first = Duration()
        first.FromMicroseconds(int((time.monotonic() - began_s) * 1e6))
        for token in ANSWER:
            yield llm.GenerateResponse(text_delta=token)
            await asyncio.sleep(self._delays.token_s)
        usage = llm.Usage(input_tokens=50, output_tokens=len(ANSWER))
        finish = llm.Finish(
            reason=llm.FINISH_REASON_STOP, usage=usage, served_model="emulated", time_to_first_token=first
        )
        yield llm.GenerateResponse(finish=finish)

    async def Route(self, _request: llm.RouteRequest, _context: Context) -> llm.RouteResponse:
        """Raise Unimplemented."""
        raise Unimplemented(_ONLY_GENERATE)

    async def ListModels(self, _request: llm.ListModelsRequest, _context: Context) -> llm.ListModelsResponse:
        """Raise Unimplemented."""
        raise Unimplemented(_ONLY_GENERATE)

    async def GetHealth(self, _request: llm.GetHealthRequest, _context: Context) -> llm.GetHealthResponse:
        """Raise Unimplemented."""
        raise Unimplemented(_ONLY_GENERATE)

    async def Prewarm(self, _request: llm.PrewarmRequest, _context: Context) -> llm.PrewarmResponse:
        """Raise Unimplemented."""
        raise Unimplemented(_ONLY_GENERATE)

    async def RecordOutcome(self, _request: llm.RecordOutcomeRequest, _context: Context) -> llm.RecordOutcomeResponse:
        """Raise Unimplemented."""
        raise Unimplemented(_ONLY_GENERATE)


def assembly(delays: Delays) -> Assembly:
    """Return both services for one server."""
    return Assembly(
        [
            Servicer(
                "hocket.speech.v1.SpeechService",
                lambda s: speech_grpc.add_SpeechServiceServicer_to_server(EmulatedSpeech(delays), s),
            ),
            Servicer(
                "hocket.llm_router.v1.LlmRouterService",
                lambda s: llm_grpc.add_LlmRouterServiceServicer_to_server(EmulatedModel(delays), s),
            ),
        ]
    )


async def serve(settings: ServerSettings, delays: Delays) -> None:
    """Print the address and serve until SIGTERM."""
    server = MeshServer("bench_vendors", settings, assembly(delays))
    await server.start()
    print(f"127.0.0.1:{server.grpc_port}", flush=True)
    await server.run()


if __name__ == "__main__":
    # Without a key the chassis binds to loopback only and serves every call as the local tenant.
    asyncio.run(serve(ServerSettings(drain_grace_s=1), Delays()))
