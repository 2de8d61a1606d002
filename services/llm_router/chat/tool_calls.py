"""Tool calls of a model, normalized so that the next turn can send them back to any vendor."""

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
    """The tool calls of one answer: ids unique within the conversation, mapped from the vendor's ids."""

    tools: frozenset[str]
    _used: set[str]
    _ours: dict[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def of(cls, request: Request) -> ToolCallLog:
        """Return a log for an answer to `request`."""
        used = {part.call_id for part in request.parts if isinstance(part, ToolCall)}
        return cls(frozenset(tool.name for tool in request.tools), used)

    def accept(self, event: ToolCallEvent) -> ToolCallEvent:
        """Return the call, with a new id where the vendor's is empty, too long or already used.

        Raises:
            ModelFailure: The call names no valid tool or its arguments are not a JSON object.
        """
        call = event.call
        name = _name(call.name, self.tools)
        try:
            strict_json.parse_object(call.arguments_json)
        except ValueError as error:
            raise _malformed("its arguments are not a valid JSON object") from error
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
        """Return the provider state with the call id that the router assigned to its tool call."""
        ours = self._ours.get(event.call_id, event.call_id)
        return event if ours == event.call_id else replace(event, call_id=ours)


def _name(name: str, tools: Iterable[str]) -> str:
    """Return the tool's name; Gemini sometimes adds a namespace (`default_api.weather`)."""
    if TOOL_NAME.fullmatch(name):
        return name
    tail = name.replace(":", ".").rpartition(".")[2]
    if tail in tools:
        return tail
    raise _malformed("its name is not a valid tool name")


def _malformed(problem: str) -> ModelFailure:
    return ModelFailure(FailureKind.CUT, f"the model made an invalid tool call: {problem}")


def parse_arguments(arguments_json: str) -> dict[str, Any]:
    """Parse tool-call arguments leniently: NaN and Infinity become null, lone surrogates U+FFFD.

    Models produce both, and vendors reject requests that contain them. Empty text and null mean no arguments.

    Raises:
        ValueError: The arguments are not a JSON object.
    """
    text = _whole(arguments_json) or "{}"
    value = json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
    if "\\u" in text:
        value = json.loads(_whole(json.dumps(value, ensure_ascii=False)))
    # Some models write null for a call without arguments.
    if not isinstance(value or {}, dict):
        raise ValueError("arguments are not a JSON object")  # noqa: TRY004 - describes model output, not an argument type
    return cast("dict[str, Any]", value or {})


def _whole(text: str) -> str:
    """Join surrogate pairs and replace lone surrogates by U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None
