"""Translates requests for the Gemini API."""

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
# From Gemini 3 on a function call without its signature is rejected. For calls of other models Google documents this
# value, which disables the check.
FOREIGN_SIGNATURE = b"skip_thought_signature_validator"
# Ids that `gemini_provider` assigns where Gemini sends none.
_OUR_ID = re.compile(r"call_[0-9a-f]{24}")
# Protocol buffers allow 100 levels, some of which the request and the result take.
LEVELS_MAX = 64
_SIGNED = re.compile(r"gemini-(?:[3-9]|\d\d)")
_MODES = {
    ToolChoice.AUTO: types.FunctionCallingConfigMode.AUTO,
    ToolChoice.NONE: types.FunctionCallingConfigMode.NONE,
    ToolChoice.REQUIRED: types.FunctionCallingConfigMode.ANY,
}


def contents_of(request: Request, candidate: Candidate) -> list[types.Content]:
    """Return the turns; thought signatures are included where Gemini issued them."""
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
    """Return the configuration: everything except the turns."""
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
    """Translate one part; `named` holds the ids of calls that Gemini issued."""
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
            response = {"error": part.content} if part.is_error else {"result": _json_or_text(part.content)}
            result = types.FunctionResponse(name=part.name, response=response)
            result.id = part.call_id if part.call_id in named else None
            return types.Part(function_response=result)
        case Passage():
            return types.Part(text=part.prompt_text)


def _is_named(call: ToolCall) -> bool:
    """True when Gemini issued the id of the call, and needs it back with the call and its result.

    Older servers issue none and reject the field; without an id, results are matched by name and position.
    """
    return PROVIDER in call.state and not _OUR_ID.fullmatch(call.call_id)


def _signature(call: ToolCall, *, signed: bool) -> bytes | None:
    own = call.state.get(PROVIDER)
    if own == b"":
        # A later one of parallel calls: Gemini signs only the first.
        return None
    return own or (FOREIGN_SIGNATURE if signed else None)


def _json_or_text(content: str) -> Any:
    """Return the result as JSON where it is valid in a request, else as text."""
    try:
        value = json.loads(content)
        # Python also parses NaN, Infinity and lone surrogates.
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return content
    return content if _is_deep(value) else value


def _is_deep(value: Any) -> bool:
    """True when values nest deeper than the vendor parses."""
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
