"""Wires the session of one room: STT, LLM, TTS, tools and video around livekit-agents' AgentSession."""

# livekit and redis leave parameters of their generics open.
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import asyncio
import gc
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import structlog
from livekit import rtc
from livekit.agents import AgentSession, inference
from livekit.agents import JobContext as LiveKitJob
from livekit.agents.llm import ChatContext
from livekit.agents.voice import CloseEvent, room_io

from hocket.chassis.errors import MeshError
from hocket.client.speech import SpeechClient
from services.media_gateway.adapters.backend import BackendClient
from services.media_gateway.adapters.session_store import SessionStore
from services.media_gateway.config import JobConfig
from services.media_gateway.rooms.job_context import JobContext
from services.media_gateway.session.agent import RoomAgent
from services.media_gateway.session.connections import Connections
from services.media_gateway.session.conversation import Conversation, VideoStatus
from services.media_gateway.session.knowledge import KnowledgeSearch
from services.media_gateway.session.llm import LlmConfig, RouterLlm
from services.media_gateway.session.stt import SAMPLE_RATE_HZ, MeshStt
from services.media_gateway.session.tools import AgentTools
from services.media_gateway.session.tts import APOLOGY, MeshTts
from services.media_gateway.session.video import FrameBuffer, VideoReader
from services.media_gateway.turns.tenant_settings import TenantSettings, parse_tenant_settings
from services.media_gateway.turns.turn_log import TurnLog

_FRAME_MS = 20
_log = structlog.get_logger()


class RoomSession:
    """The agent of one room, from opening its clients until it leaves the room."""

    def __init__(self, config: JobConfig, job: JobContext, ctx: LiveKitJob, resources: AsyncExitStack) -> None:
        """Prepare a session.

        Args:
            config: Configuration of the process.
            job: Tenant, room and user to serve.
            ctx: The accepted job; its room is not connected yet.
            resources: Closed in reverse order when the agent leaves the room.
        """
        self._config, self._job, self._ctx, self._resources = config, job, ctx, resources
        self._connections = Connections(config, job, resources)
        self._turn_log = TurnLog(lambda: f"turn-{uuid.uuid4().hex[:16]}")
        self._frames = FrameBuffer(config.limits.frames_held_max)
        self._video: VideoReader | None = None
        self._background: set[asyncio.Task[Any]] = set()
        self._replaced = False

    async def start(self) -> None:
        """Open the clients, join the room and greet; returns once the agent is in the room."""
        knowledge = self._connections.knowledge()
        backend = self._connections.backend(self._ctx.proc.userdata["ssl"])
        reporter = self._connections.turn_reporter()
        speech = self._connections.speech()
        router = self._connections.llm_router()
        store = self._connections.session_store(self._ctx.job.room.sid)
        self._renew_slot()
        settings, context = await asyncio.gather(self._tenant_settings(backend), self._stored_conversation(store))

        tts = self._tts(speech, settings)
        llm = RouterLlm(router, self._llm_config(settings), self._turn_log, knowledge, self._frames)
        session = self._agent_session(speech, knowledge, llm, tts, settings)
        conversation = Conversation(
            session,
            self._ctx.room,
            self._turn_log,
            topic=self._config.turn_topic,
            video_status=self._video_status,
            store=store,
            router=router,
            report=reporter.report,
        )
        conversation.follow()
        self._resources.push_async_callback(conversation.close)
        user_id = partial(_linked_identity, session, self._job.user_id)
        tools = AgentTools(self._job.room, user_id, self._turn_log, backend, knowledge).available()
        self._ctx.room.on("disconnected", self._on_disconnected)
        session.on("close", self._on_session_close)
        await session.start(
            RoomAgent(settings.instructions, tools, self._turn_log, context=context),
            room=self._ctx.room,
            room_options=self._room_options(conversation),
            # Recordings would be uploaded to LiveKit Cloud.
            record=False,
        )
        await self._start_video(session)
        if settings.greeting and context is None:
            session.say(settings.greeting)
        self._start_background(tts.record_apology())
        _log.info("agent in the room", profile=settings.profile.name, resumed=context is not None)
        # A full garbage collection during an answer stops the event loop for 70 to 250 ms. The objects alive now live
        # as long as the process, so they are excluded from later collections.
        gc.collect()
        gc.freeze()

    def _renew_slot(self) -> None:
        slot = self._connections.room_slot(self._ctx.job.room.name)
        if slot is None:
            return
        slot.start_renewal(on_failure=partial(self._turn_log.record_degraded, "ratelimit"))

        async def release() -> None:
            await slot.release(replaced=self._replaced)

        self._resources.push_async_callback(release)

    async def _tenant_settings(self, backend: BackendClient | None) -> TenantSettings:
        if backend is None:
            return TenantSettings()
        try:
            return parse_tenant_settings(await backend.get_settings())
        except MeshError as error:
            self._turn_log.record_degraded("backend")
            _log.warning("tenant served with default settings", error=error.message)
            return TenantSettings()

    async def _stored_conversation(self, store: SessionStore | None) -> ChatContext | None:
        return await store.load() if store else None

    def _tts(self, speech: SpeechClient, settings: TenantSettings) -> MeshTts:
        return MeshTts(
            speech,
            language=settings.language,
            voice=settings.voice,
            room=self._job.room,
            sample_rate_hz=self._config.agent_sample_rate_hz,
            next_audio_s=self._config.limits.tts_next_audio_s,
            on_failure=partial(self._turn_log.record_degraded, "speech"),
            on_cost=self._turn_log.record_speech_cost,
        )

    def _llm_config(self, settings: TenantSettings) -> LlmConfig:
        limits = self._config.limits
        return LlmConfig(
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

    def _agent_session(
        self,
        speech: SpeechClient,
        knowledge: KnowledgeSearch | None,
        llm: RouterLlm,
        tts: MeshTts,
        settings: TenantSettings,
    ) -> AgentSession[Any]:
        def play_apology() -> None:
            self._turn_log.record_degraded("speech")
            session.say(APOLOGY, audio=_audio_frames(tts.apology_pcm, tts.sample_rate), add_to_chat_ctx=False)

        stt = MeshStt(
            speech,
            language=settings.language,
            key_terms=settings.key_terms,
            room=self._job.room,
            on_outage=play_apology,
            on_cost=self._turn_log.record_speech_cost,
            on_transcript=knowledge.prefetch if knowledge else _ignore,
        )
        profile = settings.profile
        vad: inference.VAD = self._ctx.proc.userdata["vad"]
        vad.update_options(min_silence_duration=profile.vad_min_silence_s)
        session: AgentSession[Any] = AgentSession(
            stt=stt,
            vad=vad,
            llm=llm,
            tts=tts,
            # Every option is set: livekit-agents chooses the others itself, and differently in its development mode.
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
        async def on_text(_: AgentSession[Any], event: room_io.TextInputEvent) -> None:
            await conversation.answer_typed(event.text)

        return room_io.RoomOptions(
            audio_input=room_io.AudioInputOptions(sample_rate=SAMPLE_RATE_HZ, frame_size_ms=_FRAME_MS),
            audio_output=room_io.AudioOutputOptions(sample_rate=self._config.agent_sample_rate_hz),
            text_input=room_io.TextInputOptions(text_input_cb=on_text),
            text_output=True,
            # VideoReader reads the frames; AgentSession would discard them, as the model takes no video.
            video_input=False,
        )

    async def _start_video(self, session: AgentSession[Any]) -> None:
        client = self._connections.vision()
        if client is None:
            return
        watch = await self._resources.enter_async_context(client.watch(self._frames.add))

        def user_is_speaking() -> bool:
            return session.user_state == "speaking"

        self._video = VideoReader(self._ctx.room, self._job.room, watch, self._frames, user_is_speaking)
        self._video.start()
        self._resources.push_async_callback(self._video.close)

    def _video_status(self) -> VideoStatus:
        if self._video is None:
            return VideoStatus()
        return VideoStatus(self._video.counts(), degraded=self._video.degraded)

    def _on_disconnected(self, reason: rtc.DisconnectReason.ValueType) -> None:
        # Agents share one identity, so a second one in the room disconnects the first with this reason.
        self._replaced = reason == rtc.DisconnectReason.DUPLICATE_IDENTITY

    def _on_session_close(self, event: CloseEvent) -> None:
        # The user has left or the session failed. An agent without a session must leave: while it is in the room, no
        # other agent is dispatched.
        self._ctx.shutdown(f"session closed: {event.reason.value}")

    def _start_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _linked_identity(session: AgentSession[Any], dispatched_for: str) -> str:
    """Return the identity of the participant the session listens to, or else of the one it was dispatched for."""
    linked = session.room_io.linked_participant
    return linked.identity if linked else dispatched_for


def _ignore(_: str) -> None:
    pass


async def _audio_frames(pcm: bytes, sample_rate_hz: int) -> AsyncIterator[rtc.AudioFrame]:
    size_bytes = 2 * sample_rate_hz * _FRAME_MS // 1000
    for start in range(0, len(pcm) - size_bytes + 1, size_bytes):
        yield rtc.AudioFrame(pcm[start : start + size_bytes], sample_rate_hz, 1, size_bytes // 2)
