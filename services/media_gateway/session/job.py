"""The process of one room: wires the peers to an AgentSession, runs it, and leaves in order.

Everything that holds a connection is made here, in the job's own process and event loop: a gRPC channel made any
earlier (at import, in prewarm) belongs to another loop and fails on first use.
"""

# livekit and redis leave parameters of their generics open.
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import asyncio
import gc
import importlib
import ssl
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from livekit import rtc
from livekit.agents import AgentSession, JobProcess, inference, llm, tokenize
from livekit.agents import JobContext as LiveKitJob
from livekit.agents.voice import CloseEvent, room_io
from opentelemetry import trace

from hocket.chassis import telemetry as chassis_telemetry
from hocket.chassis.channel import MeshChannel
from hocket.chassis.errors import MeshError
from hocket.client import ratelimit, vision
from hocket.client.llm_router import RouterClient
from hocket.client.rag import RagClient
from hocket.client.speech import SpeechClient
from services.media_gateway.adapters.backend import BackendClient
from services.media_gateway.adapters.livekit_tracing import trace_turns
from services.media_gateway.adapters.mesh_tokens import tenant_token_source
from services.media_gateway.adapters.room_slots import RoomSlot
from services.media_gateway.adapters.session_store import SessionStore
from services.media_gateway.adapters.turn_reports import TurnReporter
from services.media_gateway.config import JobConfig
from services.media_gateway.rooms import admission
from services.media_gateway.rooms.job_context import JobContext
from services.media_gateway.session.agent import RoomAgent, Toolbox
from services.media_gateway.session.conversation import Conversation, FramesWatched
from services.media_gateway.session.knowledge import Knowledge
from services.media_gateway.session.llm import LlmRules, RouterLlm
from services.media_gateway.session.stt import SAMPLE_RATE_HZ, MeshStt
from services.media_gateway.session.tts import APOLOGY, MeshTts
from services.media_gateway.session.video import FrameShelf, VideoWatch
from services.media_gateway.turns import tenant_settings
from services.media_gateway.turns.tenant_settings import TenantSettings
from services.media_gateway.turns.turn_log import TurnBook

_FRAME_MS = 20
_log = structlog.get_logger()


def prewarm(process: JobProcess) -> None:
    """Before a room is given: import and load what needs no event loop."""
    # Each would stop the loop for 100 to 400 ms at a room's start: the authorities of TLS, and httpx's event loop part.
    process.userdata["ssl"] = ssl.create_default_context()
    importlib.import_module("anyio._backends._asyncio")
    # And 10 ms before the first word: the patterns by which transcripts keep pace with the voice.
    tokenize.basic.hyphenate_word("warm")
    process.userdata["vad"] = inference.VAD(min_silence_duration=tenant_settings.SAFE.vad_min_silence_s)


async def serve_room(config: JobConfig, ctx: LiveKitJob) -> None:
    """Be the agent of a room until it ends."""
    chassis_telemetry.set_up(
        "hocket-media-gateway",
        level=config.log_level,
        log_content=config.log_content,
        otlp_endpoint=config.otlp_endpoint,
    )
    trace_turns(trace.get_tracer_provider(), log_content=config.log_content)
    job = admission.read_job(ctx.job.metadata, ctx.job.room.name)
    if job is None:
        _log.error("job without a tenant", livekit_room=ctx.job.room.name)
        ctx.shutdown("job without a tenant")
        return
    ctx.log_context_fields = {"tenant_id": job.tenant_id, "room": job.room}
    structlog.contextvars.bind_contextvars(tenant_id=job.tenant_id, room=job.room)
    resources = AsyncExitStack()

    async def leave(reason: str) -> None:
        _log.info("leaving the room", reason=reason)
        await resources.aclose()

    ctx.add_shutdown_callback(leave)
    room = _Room(config, job, ctx, resources)
    await room.start()


@dataclass(slots=True)
class _Parts:
    """What a session is made of."""

    speech: SpeechClient
    router: RouterClient
    knowledge: Knowledge | None
    backend: BackendClient | None
    store: SessionStore | None
    reporter: TurnReporter


class _Room:
    def __init__(self, config: JobConfig, job: JobContext, ctx: LiveKitJob, resources: AsyncExitStack) -> None:
        self._config, self._job, self._ctx, self._resources = config, job, ctx, resources
        self._token = tenant_token_source(config.peers.key, job)
        self._book = TurnBook(lambda: f"turn-{uuid.uuid4().hex[:16]}")
        self._shelf = FrameShelf(config.limits.frames_held_max)
        self._video: VideoWatch | None = None
        self._background: set[asyncio.Task[Any]] = set()
        self._taken_over = False

    async def start(self) -> None:
        """Connect, and speak."""
        parts = self._connect_parts()
        await self._hold_slot()
        settings, held = await asyncio.gather(self._settings(parts.backend), self._held(parts.store))
        tts = self._tts(parts.speech, settings)
        session = self._session(parts, settings, tts)
        conversation = Conversation(
            session,
            self._ctx.room,
            self._book,
            topic=self._config.turn_topic,
            frames=self._frames_watched,
            keeper=parts.store,
            router=parts.router,
            report=parts.reporter.report,
        )
        conversation.follow()
        self._resources.push_async_callback(conversation.close)
        person = partial(_person, session, self._job.user_id)
        offered = Toolbox(self._job.room, person, self._book, parts.backend, parts.knowledge).offered()
        self._ctx.room.on("disconnected", self._on_disconnected)
        session.on("close", self._on_close)
        await session.start(
            RoomAgent(settings.instructions, offered, self._book, context=held),
            room=self._ctx.room,
            room_options=self._room_options(conversation),
            # Recordings would go to LiveKit's cloud.
            record=False,
        )
        await self._watch_video(session)
        if settings.greeting and held is None:
            session.say(settings.greeting)
        self._in_background(tts.record_apology())
        _log.info("agent in the room", profile=settings.profile.name, resumed=held is not None)
        # Python's full collections stop the loop for 70 to 250 ms in the middle of a reply; what lives now, lives on.
        gc.collect()
        gc.freeze()

    def _connect_parts(self) -> _Parts:
        peers, limits = self._config.peers, self._config.limits
        rag = self._channel(peers.rag) if peers.rag else None
        knowledge = (
            Knowledge(
                RagClient(rag),
                passages_max=limits.passages_max,
                wait_s=limits.knowledge_wait_s,
                debounce_s=limits.knowledge_debounce_s,
            )
            if rag
            else None
        )
        if knowledge:
            self._resources.push_async_callback(knowledge.close)
        backend = (
            BackendClient(
                peers.backend_url,
                self._token,
                timeout_s=limits.backend_timeout_s,
                authorities=self._ctx.proc.userdata["ssl"],
            )
            if peers.backend_url
            else None
        )
        if backend:
            self._resources.push_async_callback(backend.close)
        reporter = TurnReporter(self._config.report_path, self._job.tenant_tier)
        self._resources.callback(reporter.close)
        return _Parts(
            SpeechClient(self._channel(peers.speech)),
            RouterClient(self._channel(peers.llm_router)),
            knowledge,
            backend,
            self._store(),
            reporter,
        )

    def _channel(self, target: str, idempotent: tuple[tuple[str, str], ...] = ()) -> MeshChannel:
        channel = MeshChannel(target, self._token, tls=self._config.peers.tls, idempotent=idempotent)
        self._resources.push_async_callback(channel.close)
        return channel

    def _store(self) -> SessionStore | None:
        if not self._config.peers.redis_url:
            return None
        store = SessionStore.connect(
            self._config.peers.redis_url,
            tenant_id=self._job.tenant_id,
            room_sid=self._ctx.job.room.sid,
            ttl_s=self._config.limits.session_ttl_s,
        )
        self._resources.push_async_callback(store.close)
        return store

    async def _hold_slot(self) -> None:
        target = self._config.peers.ratelimit
        if not target:
            return
        client = ratelimit.RateLimitClient(self._channel(target, ratelimit.IDEMPOTENT))
        slot = RoomSlot(client, self._ctx.job.room.name, ttl_s=self._config.limits.slot_ttl_s)
        slot.start_renewal(on_failure=partial(self._book.degrade, "ratelimit"))

        async def release() -> None:
            await slot.release(replaced=self._taken_over)

        self._resources.push_async_callback(release)

    async def _settings(self, backend: BackendClient | None) -> TenantSettings:
        if backend is None:
            return TenantSettings()
        try:
            return tenant_settings.tenant_settings(await backend.settings())
        except MeshError as error:
            self._book.degrade("backend")
            _log.warning("tenant served with default settings", error=error.message)
            return TenantSettings()

    async def _held(self, store: SessionStore | None) -> llm.ChatContext | None:
        return await store.load() if store else None

    def _tts(self, speech: SpeechClient, settings: TenantSettings) -> MeshTts:
        return MeshTts(
            speech,
            language=settings.language,
            voice=settings.voice,
            room=self._job.room,
            sample_rate_hz=self._config.agent_sample_rate_hz,
            next_audio_s=self._config.limits.tts_next_audio_s,
            on_trouble=partial(self._book.degrade, "speech"),
            on_cost=self._book.speech_cost,
        )

    def _session(self, parts: _Parts, settings: TenantSettings, tts: MeshTts) -> AgentSession[Any]:
        limits, profile = self._config.limits, settings.profile
        knowledge = parts.knowledge

        def deaf() -> None:
            self._book.degrade("speech")
            session.say(APOLOGY, audio=_frames(tts.apology_pcm, tts.sample_rate), add_to_chat_ctx=False)

        stt = MeshStt(
            parts.speech,
            language=settings.language,
            key_terms=settings.key_terms,
            room=self._job.room,
            on_trouble=deaf,
            on_cost=self._book.speech_cost,
            on_words=knowledge.prefetch if knowledge else _ignore,
        )
        rules = LlmRules(
            room=self._job.room,
            conversation_id=self._ctx.job.room.sid,
            next_event_s=limits.llm_next_event_s,
            total_s=limits.llm_total_s,
            items_max=limits.history_items_max,
            frame_age_s_max=limits.frame_age_s_max,
            attach_newest_frame=self._config.attach_newest_frame
            if settings.attach_newest_frame is None
            else settings.attach_newest_frame,
        )
        vad: inference.VAD = self._ctx.proc.userdata["vad"]
        vad.update_options(min_silence_duration=profile.vad_min_silence_s)
        session: AgentSession[Any] = AgentSession(
            stt=stt,
            vad=vad,
            llm=RouterLlm(parts.router, rules, self._book, knowledge, self._shelf),
            tts=tts,
            # Named in full: what is left out is chosen by the library, and differently in its development mode.
            turn_handling={
                "turn_detection": "vad",
                "endpointing": {
                    "mode": "fixed",
                    "min_delay": profile.endpointing_min_delay_s,
                    "max_delay": profile.endpointing_max_delay_s,
                },
                "interruption": {"mode": "vad", "min_duration": 0.5, "resume_false_interruption": True},
                "preemptive_generation": {"enabled": True, "preemptive_tts": True, "max_retries": 3},
            },
            aec_warmup_duration=None,
            user_away_timeout=None,
        )
        return session

    def _room_options(self, conversation: Conversation) -> room_io.RoomOptions:
        async def written(_: AgentSession[Any], event: room_io.TextInputEvent) -> None:
            await conversation.write(event.text)

        return room_io.RoomOptions(
            audio_input=room_io.AudioInputOptions(sample_rate=SAMPLE_RATE_HZ, frame_size_ms=_FRAME_MS),
            audio_output=room_io.AudioOutputOptions(sample_rate=self._config.agent_sample_rate_hz),
            text_input=room_io.TextInputOptions(text_input_cb=written),
            text_output=True,
            # AgentSession would drop every frame; VideoWatch reads them.
            video_input=False,
        )

    async def _watch_video(self, session: AgentSession[Any]) -> None:
        target = self._config.peers.vision
        if not target:
            return
        client = vision.VisionClient(self._channel(target, vision.IDEMPOTENT))
        watch = await self._resources.enter_async_context(client.watch(self._shelf.keep))

        def speaking() -> bool:
            return session.user_state == "speaking"

        self._video = VideoWatch(self._ctx.room, self._job.room, watch, self._shelf, speaking)
        self._video.start()
        self._resources.push_async_callback(self._video.close)

    def _frames_watched(self) -> FramesWatched:
        if self._video is None:
            return FramesWatched()
        return FramesWatched(self._video.counts(), degraded=self._video.degraded)

    def _on_disconnected(self, reason: rtc.DisconnectReason.ValueType) -> None:
        self._taken_over = reason == rtc.DisconnectReason.DUPLICATE_IDENTITY

    def _on_close(self, event: CloseEvent) -> None:
        # The person has left, or nothing works: an agent that stays would be taken for one that serves.
        self._ctx.shutdown(f"session closed: {event.reason.value}")

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _person(session: AgentSession[Any], dispatched_for: str) -> str:
    """Whom the session listens to: an identity that RoomService minted, in a room of this tenant."""
    linked = session.room_io.linked_participant
    return linked.identity if linked else dispatched_for


def _ignore(_: str) -> None:
    pass


async def _frames(pcm: bytes, sample_rate_hz: int) -> AsyncIterator[rtc.AudioFrame]:
    size = 2 * sample_rate_hz * _FRAME_MS // 1000
    for start in range(0, len(pcm) - size + 1, size):
        yield rtc.AudioFrame(pcm[start : start + size], sample_rate_hz, 1, size // 2)
