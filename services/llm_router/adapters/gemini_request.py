"""A request in the words of the Gemini API."""

from __future__ import annotations

import json
import re
from typing import Any

from google.genai import types

from services.llm_router.conversation import (
    Part,
    Passage,
    Picture,
    Request,
    Role,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from services.llm_router.tiers import Candidate
from services.llm_router.transcript import mended, passage_text

PROVIDER = "gemini"
OUTPUT_TOKENS_DEFAULT = 1024
# From Gemini 3 on a function call without its signature is refused; for calls that another model made, Google's
# documentation names this value, which switches the check off.
FOREIGN_SIGNATURE = b"skip_thought_signature_validator"
_SIGNED = re.compile(r"gemini-(?:[3-9]|\d\d)")
_MODES = {
    ToolChoice.AUTO: types.FunctionCallingConfigMode.AUTO,
    ToolChoice.NONE: types.FunctionCallingConfigMode.NONE,
    ToolChoice.REQUIRED: types.FunctionCallingConfigMode.ANY,
}


def contents_of(request: Request, candidate: Candidate) -> list[types.Content]:
    """The turns. Thought signatures go back where this provider gave them."""
    signed = _SIGNED.match(candidate.vendor_model) is not None
    return [
        types.Content(
            role="model" if role is Role.ASSISTANT else "user",
            parts=[p for part in parts for p in _parts(part, role, signed=signed)],
        )
        for role, parts in mended(request.turns)
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
    if request.system:
        config.system_instruction = request.system
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


def _parts(part: Part, role: Role, *, signed: bool) -> list[types.Part]:
    match part:
        case Text():
            signature = part.state.get(PROVIDER) if role is Role.ASSISTANT else None
            return [types.Part(text=part.text, thought_signature=signature)]
        case Picture():
            return [types.Part(inline_data=types.Blob(mime_type=part.mime_type, data=part.data))]
        case ToolCall():
            call = types.FunctionCall(name=part.name, args=json.loads(part.arguments_json))
            return [types.Part(function_call=call, thought_signature=_signature(part, signed=signed))]
        case ToolResult():
            response = {"error": part.content} if part.is_error else {"result": _json_or_text(part.content)}
            return [types.Part(function_response=types.FunctionResponse(name=part.name, response=response))]
        case Passage():
            return [types.Part(text=passage_text(part))]


def _signature(call: ToolCall, *, signed: bool) -> bytes | None:
    own = call.state.get(PROVIDER)
    if own == b"":
        # The second of several parallel calls: Gemini signs the first alone.
        return None
    return own or (FOREIGN_SIGNATURE if signed else None)


def _json_or_text(content: str) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content
