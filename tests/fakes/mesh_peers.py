"""The services that the media gateway calls, in process: tests set their answers and read the requests."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
from google.protobuf.duration_pb2 import Duration
from hocket.llm_router.v1 import llm_router_pb2, llm_router_pb2_grpc
from hocket.rag.v1 import rag_pb2, rag_pb2_grpc
from hocket.ratelimit.v1 import ratelimit_pb2, ratelimit_pb2_grpc
from hocket.speech.v1 import speech_pb2, speech_pb2_grpc
from hocket.vision.v1 import vision_pb2, vision_pb2_grpc

from hocket.chassis import identity
from hocket.chassis.errors import Unavailable
from hocket.chassis.server import Assembly, MeshServer, Servicer
from hocket.chassis.settings import ServerSettings

SECRET = "a-secret-of-32-bytes-for-tests-only!"
LOUD = 500
SILENCE_CHUNKS = 8


def tone(seconds: float, rate_hz: int, frequency_hz: float = 440.0) -> bytes:
    count = int(seconds * rate_hz)
    return struct.pack(
        f"<{count}h", *(int(9000 * math.sin(2 * math.pi * frequency_hz * n / rate_hz)) for n in range(count))
    )


class Speech(speech_pb2_grpc.SpeechServiceServicer):
    """Transcribes loud audio followed by silence as the next of `transcripts`; synthesizes a tone for any text."""

    def __init__(self) -> None:
        self.transcripts: list[str] = []
        self.transcription_fails = self.synthesis_fails = self.synthesis_stalls = self.synthesizes_early = False
        self.synthesized: list[str] = []
        self.open_transcriptions = 0
        self.cancelled = asyncio.Event()
        self.configs: list[object] = []

    async def Transcribe(self, request_iterator, context):
        if self.transcription_fails:
            raise Unavailable("transcription fails")
        self.open_transcriptions += 1
        quiet, loud = 0, False
        async for request in request_iterator:
            if request.WhichOneof("payload") == "config":
                self.configs.append(request.config)
                continue
            pcm = np.frombuffer(request.audio, np.int16)
            if not len(pcm):
                continue
            if np.abs(pcm.astype(int)).mean() > LOUD:
                loud, quiet = True, 0
                continue
            quiet += 1
            if loud and quiet >= SILENCE_CHUNKS and self.transcripts:
                loud, line = False, self.transcripts.pop(0)
                words = line.split()
                yield speech_pb2.TranscribeResponse(interim=speech_pb2.Transcript(text=" ".join(words[:-1])))
                yield speech_pb2.TranscribeResponse(preflight=speech_pb2.Transcript(text=line))
                yield speech_pb2.TranscribeResponse(final=speech_pb2.Transcript(text=line, confidence=0.9))
                usage = speech_pb2.TranscribeUsage(audio=Duration(seconds=1), cost_micro_usd=7)
                yield speech_pb2.TranscribeResponse(usage=usage)

    async def Synthesize(self, request_iterator, context):
        if self.synthesis_fails:
            raise Unavailable("synthesis fails")
        rate_hz, text = 24_000, ""
        try:
            async for request in request_iterator:
                match request.WhichOneof("payload"):
                    case "config":
                        rate_hz = request.config.sample_rate_hz
                        self.configs.append(request.config)
                        yield speech_pb2.SynthesizeResponse(format=speech_pb2.AudioFormat(sample_rate_hz=rate_hz))
                    case "text":
                        text += request.text
                        if self.synthesizes_early and text.rstrip().endswith("."):
                            yield speech_pb2.SynthesizeResponse(audio=speech_pb2.Audio(pcm=tone(0.2, rate_hz)))
            self.synthesized.append(text)
            if self.synthesis_stalls:
                await asyncio.sleep(60)
            if any(c.isalnum() for c in text):
                for _ in range(max(1, len(text) // 12)):
                    yield speech_pb2.SynthesizeResponse(audio=speech_pb2.Audio(pcm=tone(0.2, rate_hz)))
            usage = speech_pb2.SynthesizeUsage(characters=len(text), cost_micro_usd=11)
            yield speech_pb2.SynthesizeResponse(usage=usage)
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise


class Router(llm_router_pb2_grpc.LlmRouterServiceServicer):
    """Answers a request with the events that `answer` yields."""

    def __init__(self) -> None:
        self.requests: list[llm_router_pb2.GenerateRequest] = []
        self.callers: list[identity.Identity] = []
        self.outcomes: list[tuple[str, int]] = []
        self.answer: Callable[[llm_router_pb2.GenerateRequest], AsyncIterator[llm_router_pb2.GenerateResponse]] = (
            answers_with("The office opens at nine.")
        )
        self.cancelled = asyncio.Event()

    async def RecordOutcome(self, request, context):
        self.outcomes.append((request.turn_id, request.outcome))
        return llm_router_pb2.RecordOutcomeResponse()

    async def Generate(self, request, context):
        self.requests.append(request)
        self.callers.append(identity.current())
        try:
            async for event in self.answer(request):
                yield event
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise


def route(model: str = "small") -> llm_router_pb2.GenerateResponse:
    return llm_router_pb2.GenerateResponse(
        route=llm_router_pb2.RouteDecision(
            tier=llm_router_pb2.TIER_SIMPLE,
            model=model,
            provider="fake",
            score=0.125,
            reasons=[llm_router_pb2.RouteReason(name="words", weight=0.1, detail="few")],
        )
    )


def calls_tool(name: str, arguments_json: str, then: str):
    """Return an answer that calls a tool, then answers its result with `then`."""

    async def answer(request):
        yield route()
        if request.messages[-1].role == llm_router_pb2.ROLE_TOOL:
            yield llm_router_pb2.GenerateResponse(text_delta=then)
            yield finish()
            return
        call = llm_router_pb2.ToolCall(
            call_id=f"call-{len(request.messages)}", name=name, arguments_json=arguments_json
        )
        state = llm_router_pb2.ProviderState(provider="fake", call_id=call.call_id, data=b"thought")
        yield llm_router_pb2.GenerateResponse(tool_call=call)
        yield llm_router_pb2.GenerateResponse(provider_state=state)
        yield finish(llm_router_pb2.FINISH_REASON_TOOL_CALLS)

    return answer


def finish(reason=llm_router_pb2.FINISH_REASON_STOP) -> llm_router_pb2.GenerateResponse:
    return llm_router_pb2.GenerateResponse(
        finish=llm_router_pb2.Finish(
            reason=reason,
            cost_micro_usd=42,
            usage=llm_router_pb2.Usage(input_tokens=100, output_tokens=20, cached_input_tokens=60),
        )
    )


def answers_with(text: str):
    async def answer(request):
        yield route()
        for word in text.split(" "):
            yield llm_router_pb2.GenerateResponse(text_delta=word + " ")
        yield finish()

    return answer


class Rag(rag_pb2_grpc.RagServiceServicer):
    """Returns `passages` after `delay_s`."""

    def __init__(self) -> None:
        self.passages = [rag_pb2.Passage(document_id="hours", title="Hours", text="Open from nine.", score=0.9)]
        self.delay_s = 0.0
        self.fails = False
        self.queries: list[str] = []

    async def Search(self, request, context):
        self.queries.append(request.query)
        if self.fails:
            raise Unavailable("search fails")
        await asyncio.sleep(self.delay_s)
        return rag_pb2.SearchResponse(passages=self.passages)


class Limits(ratelimit_pb2_grpc.RateLimitServiceServicer):
    """Grants `capacity` slots."""

    def __init__(self) -> None:
        self.capacity = 100
        self.holders: set[tuple[str, str]] = set()
        self.released: list[str] = []

    async def Acquire(self, request, context):
        held = (identity.current().tenant_id, request.holder)
        fits = held in self.holders or len(self.holders) < self.capacity
        if fits:
            self.holders.add(held)
        return ratelimit_pb2.AcquireResponse(acquired=fits, in_use=len(self.holders), capacity=self.capacity)

    async def Release(self, request, context):
        self.holders.discard((identity.current().tenant_id, request.holder))
        self.released.append(request.holder)
        return ratelimit_pb2.ReleaseResponse()


class Vision(vision_pb2_grpc.VisionServiceServicer):
    """Keeps every offered frame."""

    def __init__(self) -> None:
        self.uploads: list[vision_pb2.FrameUpload] = []

    async def Watch(self, request_iterator, context):
        async for request in request_iterator:
            if request.WhichOneof("payload") == "upload":
                self.uploads.append(request.upload)
            if request.WhichOneof("payload") == "offers":
                verdicts = [
                    vision_pb2.FrameVerdict(
                        frame_id=offer.frame_id,
                        track=offer.track,
                        verdict=vision_pb2.VERDICT_KEEP,
                        cause=vision_pb2.CAUSE_FIRST,
                        next_frame_in=Duration(nanos=200_000_000),
                    )
                    for offer in request.offers.offers
                ]
                yield vision_pb2.WatchResponse(verdicts=vision_pb2.VerdictBatch(verdicts=verdicts))


@dataclass
class Peers:
    speech: Speech = field(default_factory=Speech)
    router: Router = field(default_factory=Router)
    rag: Rag = field(default_factory=Rag)
    limits: Limits = field(default_factory=Limits)
    vision: Vision = field(default_factory=Vision)
    target: str = ""


@asynccontextmanager
async def serving(peers: Peers | None = None) -> AsyncIterator[Peers]:
    """Serve all fakes on one port; they check tokens as the real services do."""
    peers = peers or Peers()
    add = {
        "hocket.speech.v1.SpeechService": lambda s: speech_pb2_grpc.add_SpeechServiceServicer_to_server(
            peers.speech, s
        ),
        "hocket.llm_router.v1.LlmRouterService": lambda s: llm_router_pb2_grpc.add_LlmRouterServiceServicer_to_server(
            peers.router, s
        ),
        "hocket.rag.v1.RagService": lambda s: rag_pb2_grpc.add_RagServiceServicer_to_server(peers.rag, s),
        "hocket.ratelimit.v1.RateLimitService": lambda s: ratelimit_pb2_grpc.add_RateLimitServiceServicer_to_server(
            peers.limits, s
        ),
        "hocket.vision.v1.VisionService": lambda s: vision_pb2_grpc.add_VisionServiceServicer_to_server(
            peers.vision, s
        ),
    }
    settings = ServerSettings(jwt_secret=SECRET, drain_grace_s=0.2)
    server = MeshServer("fake_peers", settings, Assembly([Servicer(name, adder) for name, adder in add.items()]))
    await server.start()
    peers.target = f"127.0.0.1:{server.grpc_port}"
    try:
        yield peers
    finally:
        await server.stop()
