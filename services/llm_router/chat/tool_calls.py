"""Tool calls as a model makes them, made fit to be carried back: what is handed out is accepted in the next turn."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, cast

from services.llm_router.chat import strict_json
from services.llm_router.chat.events import ProviderStateEvent, ToolCallEvent
from services.llm_router.chat.request import CALL_ID_CHARACTERS_MAX, TOOL_NAME, Request, ToolCall
from services.llm_router.errors import FailureKind, ModelFailure


@dataclass(slots=True)
class ToolCallLog:
    """The calls of one answer: their ids, each used once in the whole conversation, by the ids their vendor gave."""

    tools: frozenset[str]
    _used: set[str]
    _ours: dict[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def of(cls, request: Request) -> ToolCallLog:
        """For an answer to `request`."""
        used = {part.call_id for part in request.parts if isinstance(part, ToolCall)}
        return cls(frozenset(tool.name for tool in request.tools), used)

    def accept(self, event: ToolCallEvent) -> ToolCallEvent:
        """The call with an id of our own where the vendor's cannot be carried back.

        Raises ModelFailure for a call that no caller could run.
        """
        call = event.call
        name = _name(call.name, self.tools)
        try:
            strict_json.parse_object(call.arguments_json)
        except ValueError as error:
            raise _malformed("its arguments are no JSON object that can be sent on") from error
        ours = call.call_id
        if not ours or len(ours) > CALL_ID_CHARACTERS_MAX or ours in self._used:
            ours = f"call_{uuid.uuid4().hex[:24]}"
        self._used.add(ours)
        self._ours[call.call_id] = ours
        return (
            event
            if (ours, name) == (call.call_id, call.name)
            else ToolCallEvent(replace(call, call_id=ours, name=name))
        )

    def accept_state(self, event: ProviderStateEvent) -> ProviderStateEvent:
        """State under the id that its call has here."""
        ours = self._ours.get(event.call_id, event.call_id)
        return event if ours == event.call_id else replace(event, call_id=ours)


def _name(name: str, tools: Iterable[str]) -> str:
    """The tool that is meant. Gemini at times puts a namespace before it (`default_api.weather`)."""
    if TOOL_NAME.fullmatch(name):
        return name
    tail = name.replace(":", ".").rpartition(".")[2]
    if tail in tools:
        return tail
    raise _malformed("it names no tool")


def _malformed(problem: str) -> ModelFailure:
    return ModelFailure(FailureKind.CUT, f"the model made a call that nobody can run: {problem}")


def parse_arguments(arguments_json: str) -> dict[str, Any]:
    """A call's arguments in values that JSON has. Raises ValueError where they are no object.

    Numbers that are none are null, as JavaScript writes them, and half a character is replaced by the sign for that:
    models write both, and sent on as they are they make no valid request.
    """
    text = _whole(arguments_json) or "{}"
    value = json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
    if "\\u" in text:
        value = json.loads(_whole(json.dumps(value, ensure_ascii=False)))
    # Some models write null where there is nothing to say.
    if not isinstance(value or {}, dict):
        raise ValueError("arguments are no JSON object")  # noqa: TRY004 - of what was said, not of a caller's type
    return cast("dict[str, Any]", value or {})


def _whole(text: str) -> str:
    """`text` with halves of characters joined where both came."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None
