"""Translates requests for the OpenAI chat API, as served by vLLM, Ollama and llama.cpp."""

from __future__ import annotations

import base64
from typing import Any

from services.llm_router.catalog.tiers import Candidate
from services.llm_router.chat.normalize import normalize_turns
from services.llm_router.chat.request import ImagePart, Part, Passage, Request, Role, Text, ToolCall, ToolResult

OUTPUT_TOKENS_DEFAULT = 1024
Params = dict[str, Any]


def params_of(request: Request, candidate: Candidate) -> Params:
    """Return the arguments of `chat.completions.create`."""
    system = request.system
    messages: list[Params] = [{"role": "system", "content": system}] if system else []
    for role, parts in normalize_turns(request.turns):
        messages.extend(_assistant(parts) if role is Role.ASSISTANT else _user(parts))
    params: Params = {
        "model": candidate.vendor_model,
        # The legacy name: not all of these servers know max_completion_tokens.
        "max_tokens": min(request.max_output_tokens or OUTPUT_TOKENS_DEFAULT, candidate.output_tokens_max),
        "messages": messages,
        "stream_options": {"include_usage": True},
    }
    if request.tools:
        params["tools"] = [
            {
                "type": "function",
                "function": {"name": t.name, "description": t.description, "parameters": dict(t.parameters)},
            }
            for t in request.tools
        ]
        params["tool_choice"] = request.tool_choice.value
    if request.response_schema is not None:
        schema = {"name": "answer", "schema": dict(request.response_schema), "strict": True}
        params["response_format"] = {"type": "json_schema", "json_schema": schema}
    return params


def _assistant(parts: list[Part]) -> list[Params]:
    text = "".join(p.text for p in parts if isinstance(p, Text))
    calls = [
        {"id": p.call_id, "type": "function", "function": {"name": p.name, "arguments": p.arguments_json}}
        for p in parts
        if isinstance(p, ToolCall)
    ]
    message: Params = {"role": "assistant", "content": text or None}
    return [{**message, "tool_calls": calls} if calls else message]


def _user(parts: list[Part]) -> list[Params]:
    results = [p for p in parts if isinstance(p, ToolResult)]
    messages: list[Params] = [{"role": "tool", "tool_call_id": r.call_id, "content": _outcome(r)} for r in results]
    content = [_content(p) for p in parts if isinstance(p, Text | ImagePart | Passage)]
    if len(content) == 1 and content[0]["type"] == "text":
        messages.append({"role": "user", "content": content[0]["text"]})
    elif content:
        messages.append({"role": "user", "content": content})
    return messages


def _outcome(result: ToolResult) -> str:
    # The API has no field for failed tools.
    return f"Error: {result.content}" if result.is_error else result.content


def _content(part: Text | ImagePart | Passage) -> Params:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Passage():
            return {"type": "text", "text": part.prompt_text}
        case ImagePart():
            data = base64.b64encode(part.data).decode()
            return {"type": "image_url", "image_url": {"url": f"data:{part.mime_type};base64,{data}"}}
