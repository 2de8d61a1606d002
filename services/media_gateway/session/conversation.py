"""Follows a session's events: commits and closes turns, saves the conversation, and publishes turn summaries."""

# livekit and redis leave parameters of their generics open.
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog
from hocket.llm_router.v1 import llm_router_pb2
from livekit import rtc
from livekit.agents import AgentSession, llm
from livekit.agents.voice import ConversationItemAddedEvent, SpeechCreatedEvent, SpeechHandle

from hocket.chassis.errors import MeshError
from hocket.client.llm_router import RouterClient
from services.media_gateway.turns.turn_log import Turn, TurnLog, turn_summary

TYPED_CHARS_MAX = 8000
_PUBLISH_TIMEOUT_S = 2.0
# Keys of AgentSession's per-message metrics (seconds) and of the turn summary's `timings_ms`.
_USER_TIMINGS = {"transcription_delay": "transcription", "end_of_turn_delay": "end_of_turn"}
_ANSWER_TIMINGS = {
    "llm_node_ttft": "llm_first_token",
    "tts_node_ttfb": "tts_first_audio",
    "playback_latency": "playback",
    "e2e_latency": "e2e",
}
_log = structlog.get_logger()


class ConversationStore(Protocol):
    """Stores the conversation for an agent that may replace this one. Fail-open."""

    async def save(self, context: llm.ChatContext) -> bool:
        """Save the conversation; False if it could not be saved."""
        ...


@dataclass(frozen=True, slots=True)
class VideoStatus:
    """Video of a session.

    Attributes:
        counts: Frame counts since the start of the session.
        degraded: Whether vision gives no verdicts.
    """

    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    degraded: bool = False


class Conversation:
    """Keeps the turn log of one session up to date. Its I/O runs in background tasks and delays no turn."""

    def __init__(
        self,
        session: AgentSession[Any],
        room: rtc.Room,
        turn_log: TurnLog,
        *,
        topic: str,
        video_status: Callable[[], VideoStatus],
        store: ConversationStore | None,
        router: RouterClient,
        report: Callable[[dict[str, Any]], None],
    ) -> None:
        """Follow one session.

        Args:
            session: Session whose events are followed.
            room: Room in which turn summaries are published.
            turn_log: Log of the session's turns.
            topic: LiveKit text topic of turn summaries; empty publishes none.
            video_status: Returns the video's status for a turn summary.
            store: Stores the conversation after each turn; None stores nothing.
            router: Receives interruptions as outcomes, to train its scorer.
            report: Called with each turn summary, for metrics.
        """
        self._session = session
        self._room = room
        self._turn_log = turn_log
        self._topic = topic
        self._video_status = video_status
        self._store = store
        self._router = router
        self._report = report
        self._tasks: set[asyncio.Task[None]] = set()
        self._typed_at_s = 0.0

    def follow(self) -> None:
        """Subscribe to the session's events."""
        self._session.on("conversation_item_added", self._on_item_added)
        self._session.on("speech_created", self._on_speech_created)

    async def answer_typed(self, text: str) -> None:
        """Interrupt the agent and answer text that the user typed.

        Args:
            text: Text from the room's chat; cut to 8000 characters, ignored if blank.
        """
        text = text.strip()[:TYPED_CHARS_MAX]
        if not text:
            return
        self._turn_log.mark_input_complete(typed=True)
        self._typed_at_s = time.time()
        await self._session.interrupt()
        self._session.generate_reply(user_input=text, input_modality="text")

    async def close(self) -> None:
        """Close the current turn and wait up to 2 s for background tasks."""
        self._finish_turn(self._turn_log.close_turn())
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_PUBLISH_TIMEOUT_S)

    def _on_item_added(self, event: ConversationItemAddedEvent) -> None:
        item = event.item
        if not isinstance(item, llm.ChatMessage):
            return
        if item.role == "user":
            self._finish_turn(self._turn_log.commit_turn(item.id, item.text_content or ""))
            self._record_timings(item.metrics, _USER_TIMINGS)
        elif item.role == "assistant":
            self._turn_log.record_answer(item.text_content or "", interrupted=item.interrupted)
            self._record_timings(item.metrics, _ANSWER_TIMINGS)
            self._record_typed_latency(item.metrics)

    def _on_speech_created(self, event: SpeechCreatedEvent) -> None:
        event.speech_handle.add_done_callback(self._on_speech_done)

    def _on_speech_done(self, handle: SpeechHandle) -> None:
        # A discarded preemptive answer was never scheduled; speech without an assistant message is no answer.
        if handle.scheduled and any(
            isinstance(i, llm.ChatMessage) and i.role == "assistant" for i in handle.chat_items
        ):
            self._finish_turn(self._turn_log.close_turn())

    def _record_timings(self, metrics: Mapping[str, Any], keys: Mapping[str, str]) -> None:
        turn = self._turn_log.current
        if turn is not None:
            # setdefault: the user waited for the first answer of the turn; an answer after a tool call comes later.
            for metric, timing in keys.items():
                if metric in metrics:
                    turn.timings_ms.setdefault(timing, round(metrics[metric] * 1000))

    def _record_typed_latency(self, metrics: Mapping[str, Any]) -> None:
        turn = self._turn_log.current
        if turn is not None and turn.typed and "started_speaking_at" in metrics:
            turn.timings_ms.setdefault("e2e", round((metrics["started_speaking_at"] - self._typed_at_s) * 1000))

    def _finish_turn(self, turn: Turn | None) -> None:
        if turn is None:
            return
        video = self._video_status()
        if video.degraded:
            turn.degraded.add("vision")
        summary = turn_summary(turn, video.counts)
        _log.info(
            "turn",
            turn_id=turn.turn_id,
            tier=summary["tier"],
            model=summary["model"],
            timings_ms=summary["timings_ms"],
            cost_micro_usd=summary["cost_micro_usd"],
            degraded=summary["degraded"],
            interrupted=turn.interrupted,
            **{"hocket.pii.heard": turn.user_text, "hocket.pii.answered": turn.answer_text},
        )
        self._report(summary)
        if self._topic:
            self._start(self._publish(json.dumps(summary)))
        if self._store:
            self._start(self._save(self._store))
        if turn.interrupted and summary["model"]:
            self._start(self._record_barge_in(turn.turn_id))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _publish(self, summary: str) -> None:
        try:
            async with asyncio.timeout(_PUBLISH_TIMEOUT_S):
                await self._room.local_participant.send_text(summary, topic=self._topic)
        except (TimeoutError, RuntimeError, ConnectionError) as error:
            # Usual while the room closes, when its clients leave too.
            _log.info("turn summary not published", error=str(error) or "late")

    async def _record_barge_in(self, turn_id: str) -> None:
        try:
            await self._router.record_outcome(turn_id, llm_router_pb2.OUTCOME_BARGE_IN)
        except MeshError as error:
            _log.info("outcome not recorded", error=error.message)

    async def _save(self, store: ConversationStore) -> None:
        if not await store.save(self._session.history):
            self._turn_log.record_degraded("redis")
