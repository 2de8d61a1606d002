"""Log of a conversation's turns: the model calls of each turn, what they cost, and the summary sent to clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_SUMMARY_TEXT_CHARS_MAX = 4000


@dataclass(slots=True)
class ModelCall:
    """One call to llm_router.

    Attributes:
        message_id: Id of the user message that the call answers.
        speculative: Whether the call started before the user's input was complete.
        tier: Tier chosen by the router, in lower case; empty until the router has decided.
        model: Model chosen by the router.
        provider: Provider of that model.
        score: Complexity score of the request, 0 to 1.
        reasons: Reasons of the score: name, weight, detail.
        document_ids: Documents whose passages were attached.
        images: Images attached to the request.
        cost_micro_usd: Cost in micro-USD; 0 until the call has finished.
        first_event_ms: Milliseconds from the start of the call to its first event after the route.
        knowledge_ms: Milliseconds the call waited for passages.
    """

    message_id: str
    speculative: bool
    tier: str = ""
    model: str = ""
    provider: str = ""
    score: float = 0.0
    reasons: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    document_ids: Sequence[str] = ()
    images: int = 0
    cost_micro_usd: int = 0
    first_event_ms: int | None = None
    knowledge_ms: int | None = None


@dataclass(slots=True)
class Turn:
    """One turn: the user's input and the agent's answer.

    Attributes:
        turn_id: Id of the turn, unique in the tenant.
        message_id: Id of the user message; empty until the turn is committed.
        user_text: Transcript or typed text of the user.
        answer_text: Text of the answer, up to an interruption.
        typed: Whether the user typed instead of speaking.
        input_complete: Whether the end of the user's input was detected.
        interrupted: Whether the user interrupted the answer.
        model_calls: Calls to llm_router, including speculative ones that were discarded.
        tool_calls: Tool calls: name, arguments, ok.
        speech_cost_micro_usd: Cost of transcription and synthesis, micro-USD.
        timings_ms: Milliseconds per stage, on the agent's clock.
        degraded: Services and stores that failed during the turn.
    """

    turn_id: str
    message_id: str = ""
    user_text: str = ""
    answer_text: str = ""
    typed: bool = False
    input_complete: bool = False
    interrupted: bool = False
    model_calls: list[ModelCall] = field(default_factory=list[ModelCall])
    tool_calls: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    speech_cost_micro_usd: int = 0
    timings_ms: dict[str, int] = field(default_factory=dict[str, int])
    degraded: set[str] = field(default_factory=set[str])


class TurnLog:
    """The turns of one conversation: one pending turn (input incomplete) and at most one being answered.

    With preemptive generation the model is called before a turn is committed, possibly several times, each time for
    another message id. The id of the committed message decides which of these calls the answer comes from.
    """

    def __init__(self, new_turn_id: Callable[[], str]) -> None:
        """Start with one pending turn.

        Args:
            new_turn_id: Returns ids that are unique in the tenant.
        """
        self._new_turn_id = new_turn_id
        self._pending = Turn(new_turn_id())
        self._current: Turn | None = None

    @property
    def current(self) -> Turn | None:
        """The committed turn that is being answered, or None."""
        return self._current

    def turn_for(self, message_id: str) -> Turn:
        """Return the turn that a model call for `message_id` belongs to."""
        if self._current is not None and message_id and message_id == self._current.message_id:
            return self._current
        return self._pending

    def begin_model_call(self, message_id: str) -> tuple[Turn, ModelCall]:
        """Add a model call; it is speculative until the user's input is complete.

        Args:
            message_id: Id of the user message that the call answers.

        Returns:
            The turn and its new call, to be filled in by the caller.
        """
        turn = self.turn_for(message_id)
        call = ModelCall(message_id, speculative=turn is self._pending and not turn.input_complete)
        turn.model_calls.append(call)
        return turn, call

    def mark_input_complete(self, *, typed: bool = False) -> None:
        """Mark the user's input of the pending turn as complete; model calls from now on are not speculative.

        Args:
            typed: Whether the user typed instead of speaking.
        """
        self._pending.input_complete = True
        self._pending.typed = typed

    def commit_turn(self, message_id: str, user_text: str) -> Turn | None:
        """Make the pending turn the current one and start a new pending turn.

        Args:
            message_id: Id of the user message that entered the conversation.
            user_text: Text of that message.

        Returns:
            The previous turn, marked as interrupted, if it was not closed; else None.
        """
        unclosed = self._current
        if unclosed is not None:
            unclosed.interrupted = True
        self._current, self._pending = self._pending, Turn(self._new_turn_id())
        self._current.message_id = message_id
        self._current.user_text = user_text
        return unclosed

    def record_answer(self, text: str, *, interrupted: bool) -> None:
        """Append to the answer of the current turn.

        Args:
            text: Text that was played, up to an interruption.
            interrupted: Whether the user interrupted it.
        """
        if self._current is not None:
            self._current.answer_text = " ".join(part for part in (self._current.answer_text, text) if part)
            self._current.interrupted = interrupted

    def record_tool_call(self, name: str, arguments: str, *, ok: bool) -> None:
        """Record a tool call in the current turn.

        Args:
            name: Name of the tool.
            arguments: Arguments as JSON, as the model wrote them.
            ok: Whether the tool succeeded.
        """
        if self._current is not None:
            self._current.tool_calls.append({"name": name, "arguments": arguments, "ok": ok})

    def record_speech_cost(self, cost_micro_usd: int) -> None:
        """Add a cost of transcription or synthesis, in micro-USD, to the current or else the pending turn."""
        (self._current or self._pending).speech_cost_micro_usd += cost_micro_usd

    def record_degraded(self, part: str, message_id: str = "") -> None:
        """Record that a turn goes on without a service or store.

        Args:
            part: Name of the service or store, such as `rag` or `redis`.
            message_id: Message whose turn is affected; empty means the current or else the pending turn.
        """
        turn = self.turn_for(message_id) if message_id else (self._current or self._pending)
        turn.degraded.add(part)

    def close_turn(self) -> Turn | None:
        """End the current turn and return it; None if there is none."""
        closed, self._current = self._current, None
        return closed


def turn_summary(turn: Turn, frames: Mapping[str, int]) -> dict[str, Any]:
    """Return the JSON object that clients in the room receive for a turn.

    Args:
        turn: A closed turn.
        frames: Frame counts since the start of the session.

    Returns:
        The summary. Times are milliseconds on the agent's clock, costs micro-USD. `passages`, `score`, `model` and the
        like describe the calls for the committed message; `cost_micro_usd` includes discarded calls.
    """
    used = [call for call in turn.model_calls if call.message_id == turn.message_id]
    first, last = (used[0], used[-1]) if used else (None, None)
    timings = dict(turn.timings_ms)
    if first and first.first_event_ms is not None:
        timings["llm_first_event"] = first.first_event_ms
    if first and first.knowledge_ms is not None:
        timings["knowledge"] = first.knowledge_ms
    return {
        "turn_id": turn.turn_id,
        "input": "text" if turn.typed else "voice",
        "heard": turn.user_text[:_SUMMARY_TEXT_CHARS_MAX],
        "answered": turn.answer_text[:_SUMMARY_TEXT_CHARS_MAX],
        "interrupted": turn.interrupted,
        "tier": last.tier if last else "",
        "model": last.model if last else "",
        "provider": last.provider if last else "",
        "score": round(last.score, 4) if last else 0.0,
        "reasons": last.reasons if last else [],
        "passages": list(first.document_ids) if first else [],
        "images": max((call.images for call in used), default=0),
        "tool_calls": turn.tool_calls,
        "speculative": bool(first and first.speculative),
        "model_calls": len(turn.model_calls),
        "calls_discarded": len(turn.model_calls) - len(used),
        "cost_micro_usd": turn.speech_cost_micro_usd + sum(call.cost_micro_usd for call in turn.model_calls),
        "timings_ms": timings,
        "frames": dict(frames),
        "degraded": sorted(turn.degraded),
    }
