"""What happens in a session, followed through its events: turns are closed, kept, and told to clients."""

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
from services.media_gateway.turns import turn_log
from services.media_gateway.turns.turn_log import Turn, TurnBook

WRITTEN_CHARS_MAX = 8000
_PUBLISH_TIMEOUT_S = 2.0
# AgentSession's per-message metrics (seconds) and what clients read (milliseconds).
_USER_TIMINGS = {"transcription_delay": "transcription", "end_of_turn_delay": "end_of_turn"}
_ANSWER_TIMINGS = {
    "llm_node_ttft": "llm_first_token",
    "tts_node_ttfb": "tts_first_audio",
    "playback_latency": "playback",
    "e2e_latency": "e2e",
}
_log = structlog.get_logger()


class Keeper(Protocol):
    """Keeps the conversation for an agent to come."""

    async def save(self, context: llm.ChatContext) -> bool:
        """False when it could not be kept."""
        ...


@dataclass(frozen=True, slots=True)
class FramesWatched:
    """Frames since the session began, and whether vision was away."""

    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    degraded: bool = False


class Conversation:
    """Follows one session. Everything here happens beside the turn, never in its way."""

    def __init__(
        self,
        session: AgentSession[Any],
        room: rtc.Room,
        book: TurnBook,
        *,
        topic: str,
        frames: Callable[[], FramesWatched],
        keeper: Keeper | None,
        router: RouterClient,
        report: Callable[[dict[str, Any]], None],
    ) -> None:
        """Tell clients on `topic` (empty: nobody), keep with `keeper`, and `report` each turn for metrics.

        `router` learns of answers that were interrupted, for its scorer.
        """
        self._session = session
        self._room = room
        self._book = book
        self._topic = topic
        self._frames = frames
        self._keeper = keeper
        self._router = router
        self._report = report
        self._tasks: set[asyncio.Task[None]] = set()
        self._text_at_s = 0.0

    def follow(self) -> None:
        """Listen to the session's events."""
        self._session.on("conversation_item_added", self._on_item)
        self._session.on("speech_created", self._on_speech)

    async def write(self, text: str) -> None:
        """The person has written instead of spoken."""
        text = text.strip()[:WRITTEN_CHARS_MAX]
        if not text:
            return
        self._book.confirm(by_text=True)
        self._text_at_s = time.time()
        await self._session.interrupt()
        self._session.generate_reply(user_input=text, input_modality="text")

    async def close(self) -> None:
        """Close the turn that is open and let what is under way end."""
        self._close_turn(self._book.close())
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_PUBLISH_TIMEOUT_S)

    def _on_item(self, event: ConversationItemAddedEvent) -> None:
        item = event.item
        if not isinstance(item, llm.ChatMessage):
            return
        if item.role == "user":
            self._close_turn(self._book.commit(item.id, item.text_content or ""))
            self._note_timings(item.metrics, _USER_TIMINGS)
        elif item.role == "assistant":
            self._book.answer(item.text_content or "", interrupted=item.interrupted)
            self._note_timings(item.metrics, _ANSWER_TIMINGS)
            self._note_written(item.metrics)

    def _on_speech(self, event: SpeechCreatedEvent) -> None:
        event.speech_handle.add_done_callback(self._on_spoken)

    def _on_spoken(self, handle: SpeechHandle) -> None:
        # An answer begun early and thrown away was never scheduled, and has said nothing.
        if handle.scheduled and any(
            isinstance(i, llm.ChatMessage) and i.role == "assistant" for i in handle.chat_items
        ):
            self._close_turn(self._book.close())

    def _note_timings(self, metrics: Mapping[str, Any], names: Mapping[str, str]) -> None:
        turn = self._book.current
        if turn is not None:
            # The first answer of a turn is what the person waited for; an answer after a tool comes later.
            for name, told in names.items():
                if name in metrics:
                    turn.timings_ms.setdefault(told, round(metrics[name] * 1000))

    def _note_written(self, metrics: Mapping[str, Any]) -> None:
        turn = self._book.current
        if turn is not None and turn.by_text and "started_speaking_at" in metrics:
            turn.timings_ms.setdefault("e2e", round((metrics["started_speaking_at"] - self._text_at_s) * 1000))

    def _close_turn(self, turn: Turn | None) -> None:
        if turn is None:
            return
        frames = self._frames()
        if frames.degraded:
            turn.degraded.add("vision")
        facts = turn_log.facts(turn, frames.counts)
        _log.info(
            "turn",
            turn_id=turn.turn_id,
            tier=facts["tier"],
            model=facts["model"],
            timings_ms=facts["timings_ms"],
            cost_micro_usd=facts["cost_micro_usd"],
            degraded=facts["degraded"],
            interrupted=turn.interrupted,
            **{"hocket.pii.heard": turn.heard, "hocket.pii.answered": turn.answered},
        )
        self._report(facts)
        if self._topic:
            self._begin(self._publish(json.dumps(facts)))
        if self._keeper:
            self._begin(self._keep(self._keeper))
        if turn.interrupted and facts["model"]:
            self._begin(self._tell_router(turn.turn_id))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _publish(self, facts: str) -> None:
        try:
            async with asyncio.timeout(_PUBLISH_TIMEOUT_S):
                await self._room.local_participant.send_text(facts, topic=self._topic)
        except (TimeoutError, RuntimeError, ConnectionError) as error:
            # The room is going down, and with it those who would have read.
            _log.info("turn not told", error=str(error) or "late")

    async def _tell_router(self, turn_id: str) -> None:
        try:
            await self._router.record_outcome(turn_id, llm_router_pb2.OUTCOME_BARGE_IN)
        except MeshError as error:
            _log.info("outcome not recorded", error=error.message)

    async def _keep(self, keeper: Keeper) -> None:
        if not await keeper.save(self._session.history):
            self._book.degrade("redis")
