"""A request in the words of the Gemini API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, cast

from google.genai import types

from services.llm_router.catalog.tiers import Candidate
from services.llm_router.chat.normalize import normalize_turns
from services.llm_router.chat.request import (
    ImagePart,
    Part,
    Passage,
    Request,
    Role,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
)

PROVIDER = "gemini"
OUTPUT_TOKENS_DEFAULT = 1024
# From Gemini 3 on a function call without its signature is refused; for calls that another model made, Google's
# documentation names this value, which switches the check off.
FOREIGN_SIGNATURE = b"skip_thought_signature_validator"
# As the adapter that reads Gemini's answers makes them where Gemini gave none.
_OUR_ID = re.compile(r"call_[0-9a-f]{24}")
# Protocol buffers stop at 100 levels, of which the request itself and each level of the result take some.
LEVELS_MAX = 64
_SIGNED = re.compile(r"gemini-(?:[3-9]|\d\d)")
_MODES = {
    ToolChoice.AUTO: types.FunctionCallingConfigMode.AUTO,
    ToolChoice.NONE: types.FunctionCallingConfigMode.NONE,
    ToolChoice.REQUIRED: types.FunctionCallingConfigMode.ANY,
}


def contents_of(request: Request, candidate: Candidate) -> list[types.Content]:
    """The turns. Thought signatures go back where this provider gave them."""
    signed = _SIGNED.match(candidate.vendor_model) is not None
    named = frozenset(p.call_id for p in request.parts if isinstance(p, ToolCall) and _is_named(p))
    return [
        types.Content(
            role="model" if role is Role.ASSISTANT else "user",
            parts=[_part(part, role, named, signed=signed) for part in parts],
        )
        for role, parts in normalize_turns(request.turns, keeps_state_of=PROVIDER)
    ]


def config_of(request: Request, candidate: Candidate) -> types.GenerateContentConfig:
    """Everything but the turns."""
    config = types.GenerateContentConfig(
        max_output_tokens=min(request.max_output_tokens or OUTPUT_TOKENS_DEFAULT, candidate.output_tokens_max),
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    if candidate.thinking == "off":
        config.thinking_config = types.ThinkingConfig(thinking_budget=0)
    elif candidate.thinking:
        config.thinking_config = types.ThinkingConfig(thinking_level=types.ThinkingLevel(candidate.thinking.upper()))
    if system := request.system:
        config.system_instruction = system
    if request.tools:
        config.tools = [
            types.Tool(
                function_declarations=[
                    types.FunctionDeclaration(
                        name=t.name, description=t.description, parameters_json_schema=dict(t.parameters)
                    )
                    for t in request.tools
                ]
            )
        ]
        calling = types.FunctionCallingConfig(mode=_MODES[request.tool_choice])
        config.tool_config = types.ToolConfig(function_calling_config=calling)
    if request.response_schema is not None:
        config.response_mime_type = "application/json"
        config.response_json_schema = dict(request.response_schema)
    return config


def _part(part: Part, role: Role, named: frozenset[str], *, signed: bool) -> types.Part:
    """One part; `named` holds the ids of calls that Gemini itself gave."""
    match part:
        case Text():
            signature = part.state.get(PROVIDER) if role is Role.ASSISTANT else None
            return types.Part(text=part.text, thought_signature=signature)
        case ImagePart():
            return types.Part(inline_data=types.Blob(mime_type=part.mime_type, data=part.data))
        case ToolCall():
            call = types.FunctionCall(name=part.name, args=json.loads(part.arguments_json))
            call.id = part.call_id if part.call_id in named else None
            return types.Part(function_call=call, thought_signature=_signature(part, signed=signed))
        case ToolResult():
            told = {"error": part.content} if part.is_error else {"result": _json_or_text(part.content)}
            result = types.FunctionResponse(name=part.name, response=told)
            result.id = part.call_id if part.call_id in named else None
            return types.Part(function_response=result)
        case Passage():
            return types.Part(text=part.prompt_text)


def _is_named(call: ToolCall) -> bool:
    """Whether Gemini gave the call its id, and so wants it again with the call and its result.

    Older servers give none and refuse the field, so ids of ours and of other vendors stay out: without one, a result is
    matched by its name and place.
    """
    return PROVIDER in call.state and not _OUR_ID.fullmatch(call.call_id)


def _signature(call: ToolCall, *, signed: bool) -> bytes | None:
    own = call.state.get(PROVIDER)
    if own == b"":
        # The second of several parallel calls: Gemini signs the first alone.
        return None
    return own or (FOREIGN_SIGNATURE if signed else None)


def _json_or_text(content: str) -> Any:
    """What a result says as JSON where it is JSON that a request can hold, else its words."""
    try:
        value = json.loads(content)
        # Python reads numbers that JSON has not, and halves of characters.
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return content
    return content if _is_deep(value) else value


def _is_deep(value: Any) -> bool:
    """Whether lists and objects lie deeper in each other than the vendor reads them."""
    level: list[Any] = [value]
    for _ in range(LEVELS_MAX):
        level = [inner for v in level for inner in _inside(v)]
        if not level:
            return False
    return any(isinstance(v, dict | list) for v in level)


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value).values()
    return cast("Iterable[Any]", value) if isinstance(value, list) else ()
