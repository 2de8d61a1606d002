"""The book of a conversation's turns: which calls served which turn, what each cost, and what clients are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_TEXT_CHARS_MAX = 4000


@dataclass(slots=True)
class ModelCall:
    """One call to the router. `message_id` names the person's message it answers."""

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
    """One turn: a person's words and the agent's answer. Committed when the person was found to have finished."""

    turn_id: str
    message_id: str = ""
    heard: str = ""
    answered: str = ""
    by_text: bool = False
    confirmed: bool = False
    interrupted: bool = False
    calls: list[ModelCall] = field(default_factory=list[ModelCall])
    tools: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    speech_cost_micro_usd: int = 0
    timings_ms: dict[str, int] = field(default_factory=dict[str, int])
    degraded: set[str] = field(default_factory=set[str])


class TurnBook:
    """Turns of one conversation: one pending (words still coming in) and at most one being answered.

    The model may be asked before a turn is committed (preemptive generation), several times over, each time under a
    message of its own; the message that is committed in the end tells which of the calls counted.
    """

    def __init__(self, new_turn_id: Callable[[], str]) -> None:
        """Begin with a pending turn; `new_turn_id` gives names that are unique in the tenant."""
        self._new_turn_id = new_turn_id
        self._pending = Turn(new_turn_id())
        self._current: Turn | None = None

    @property
    def current(self) -> Turn | None:
        """The turn being answered, or None."""
        return self._current

    def serving(self, message_id: str) -> Turn:
        """The turn that a call for `message_id` serves."""
        if self._current is not None and message_id and message_id == self._current.message_id:
            return self._current
        return self._pending

    def begin_call(self, message_id: str) -> tuple[Turn, ModelCall]:
        """Note a call to the model; it is speculative while nobody has said that the person has finished."""
        turn = self.serving(message_id)
        call = ModelCall(message_id, speculative=turn is self._pending and not turn.confirmed)
        turn.calls.append(call)
        return turn, call

    def confirm(self, *, by_text: bool = False) -> None:
        """The person has finished: calls from now on are meant."""
        self._pending.confirmed = True
        self._pending.by_text = by_text

    def commit(self, message_id: str, heard: str) -> Turn | None:
        """The turn is in the conversation; gives the one before when that was never closed."""
        unclosed = self._current
        if unclosed is not None:
            unclosed.interrupted = True
        self._current, self._pending = self._pending, Turn(self._new_turn_id())
        self._current.message_id = message_id
        self._current.heard = heard
        return unclosed

    def answer(self, text: str, *, interrupted: bool) -> None:
        """The agent has said `text`, or as much of it as was heard."""
        if self._current is not None:
            self._current.answered = " ".join(part for part in (self._current.answered, text) if part)
            self._current.interrupted = interrupted

    def speech_cost(self, cost_micro_usd: int) -> None:
        """Listening or speaking has cost something."""
        (self._current or self._pending).speech_cost_micro_usd += cost_micro_usd

    def degrade(self, part: str, message_id: str = "") -> None:
        """The turn goes on without `part`."""
        turn = self.serving(message_id) if message_id else (self._current or self._pending)
        turn.degraded.add(part)

    def close(self) -> Turn | None:
        """The answer is over; gives the turn once."""
        closed, self._current = self._current, None
        return closed


def facts(turn: Turn, frames: Mapping[str, int]) -> dict[str, Any]:
    """What clients are told of a turn, as a JSON object. Times are in milliseconds on the agent's clock."""
    counted = [call for call in turn.calls if call.message_id == turn.message_id]
    first, last = (counted[0], counted[-1]) if counted else (None, None)
    timings = dict(turn.timings_ms)
    if first and first.first_event_ms is not None:
        timings["llm_first_event"] = first.first_event_ms
    if first and first.knowledge_ms is not None:
        timings["knowledge"] = first.knowledge_ms
    return {
        "turn_id": turn.turn_id,
        "input": "text" if turn.by_text else "voice",
        "heard": turn.heard[:_TEXT_CHARS_MAX],
        "answered": turn.answered[:_TEXT_CHARS_MAX],
        "interrupted": turn.interrupted,
        "tier": last.tier if last else "",
        "model": last.model if last else "",
        "provider": last.provider if last else "",
        "score": round(last.score, 4) if last else 0.0,
        "reasons": last.reasons if last else [],
        "passages": list(first.document_ids) if first else [],
        "images": max((call.images for call in counted), default=0),
        "tool_calls": turn.tools,
        "speculative": bool(first and first.speculative),
        "model_calls": len(turn.calls),
        "calls_discarded": len(turn.calls) - len(counted),
        "cost_micro_usd": turn.speech_cost_micro_usd + sum(call.cost_micro_usd for call in turn.calls),
        "timings_ms": timings,
        "frames": dict(frames),
        "degraded": sorted(turn.degraded),
    }
