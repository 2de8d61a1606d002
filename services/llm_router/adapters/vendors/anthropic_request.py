"""Translates requests for Anthropic's Messages API (version 2026-10-21: no sampling parameters)."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from services.llm_router.catalog.tiers import Candidate
from services.llm_router.chat.normalize import is_blank, normalize_turns
from services.llm_router.chat.request import (
    ImagePart,
    Message,
    Part,
    Passage,
    Request,
    Role,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from services.llm_router.prompt_cache.breakpoints import CachePlan, plan_cache

PROVIDER = "anthropic"
OUTPUT_TOKENS_DEFAULT = 1024
ID_CHARACTERS_MAX = 64
_WIRE_ID = re.compile(rf"[a-zA-Z0-9_-]{{1,{ID_CHARACTERS_MAX}}}")
_OTHER = re.compile(r"[^a-zA-Z0-9_-]")
_FAILED = "The tool failed."
_CHOICES = {ToolChoice.AUTO: "auto", ToolChoice.NONE: "none", ToolChoice.REQUIRED: "any"}
Params = dict[str, Any]


def params_of(request: Request, candidate: Candidate, gap_s: float | None = None) -> Params:
    """Return the arguments of `messages.create`, with cache breakpoints."""
    turns = normalize_turns([_trimmed(m) for m in request.turns], keeps_state_of=PROVIDER)
    plan = plan_cache(request, turns, candidate, gap_s)
    messages: list[Params] = [
        {"role": role.value, "content": [b for p in parts for b in _blocks(p, role, candidate)]}
        for role, parts in turns
    ]
    if plan.turn is not None:
        _mark(messages[plan.turn]["content"], plan)
    params: Params = {
        "model": candidate.vendor_model,
        "max_tokens": min(request.max_output_tokens or OUTPUT_TOKENS_DEFAULT, candidate.output_tokens_max),
        "messages": messages,
    }
    if system_text := request.system:
        system: list[Params] = [{"type": "text", "text": system_text}]
        if plan.system:
            _mark(system, plan)
        params["system"] = system
    if request.tools:
        params["tools"] = [
            {"name": t.name, "description": t.description, "input_schema": dict(t.parameters)} for t in request.tools
        ]
        if plan.system and not system_text:
            params["tools"][-1]["cache_control"] = _control(plan)
        params["tool_choice"] = {"type": _CHOICES[request.tool_choice]}
    if request.response_schema is not None:
        params["output_config"] = {"format": {"type": "json_schema", "schema": dict(request.response_schema)}}
    return params


def prewarm_params(request: Request, candidate: Candidate) -> Params:
    """Return the arguments of a `messages.create` that caches instructions and tools and generates nothing."""
    placeholder = Message(Role.USER, (Text("."),))
    instructions = tuple(m for m in request.messages if m.role is Role.SYSTEM)
    params = params_of(replace(request, messages=(*instructions, placeholder)), candidate)
    # The first user turn will differ: no breakpoint after it.
    params["messages"][0]["content"][-1].pop("cache_control", None)
    return {**params, "max_tokens": 0}


def _control(plan: CachePlan) -> Params:
    return {"type": "ephemeral", "ttl": plan.ttl}


def _mark(blocks: list[Params], plan: CachePlan) -> None:
    # Thinking blocks cannot carry a breakpoint; they are never last.
    blocks[-1]["cache_control"] = _control(plan)


def _blocks(part: Part, role: Role, candidate: Candidate) -> list[Params]:
    match part:
        case Text():
            blocks: list[Params] = [] if is_blank(part) else [{"type": "text", "text": part.text}]
            return [*_thinking(part.state, role, candidate), *blocks]
        case ImagePart():
            data = base64.b64encode(part.data).decode()
            return [{"type": "image", "source": {"type": "base64", "media_type": part.mime_type, "data": data}}]
        case ToolCall():
            arguments = json.loads(part.arguments_json)
            call = {"type": "tool_use", "id": wire_id(part.call_id), "name": part.name, "input": arguments}
            return [*_thinking(part.state, role, candidate), call]
        case ToolResult():
            return [_result(part)]
        case Passage():
            return [{"type": "text", "text": part.prompt_text}]


def _result(part: ToolResult) -> Params:
    result: Params = {"type": "tool_result", "tool_use_id": wire_id(part.call_id)}
    if part.is_error:
        # The API rejects errors without content.
        return {**result, "content": part.content if part.content.strip() else _FAILED, "is_error": True}
    return {**result, "content": part.content} if part.content.strip() else result


def _trimmed(message: Message) -> Message:
    """Drop blank parts at the end: thinking before nothing is useless, and may not be last."""
    end = max((i for i, part in enumerate(message.parts, 1) if not is_blank(part)), default=0)
    return message if end == len(message.parts) else replace(message, parts=message.parts[:end])


def _thinking(state: Mapping[str, bytes], role: Role, candidate: Candidate) -> list[Params]:
    """Return the thinking blocks before a part; those of other models are rejected by the API and left out."""
    if role is not Role.ASSISTANT or PROVIDER not in state:
        return []
    try:
        held: Params = json.loads(state[PROVIDER])
        blocks: list[Params] = held["blocks"] if held["model"] == candidate.vendor_model else []
    except (ValueError, KeyError, TypeError):
        return []
    return blocks


def thinking_state(model: str, blocks: list[Params]) -> bytes:
    """Serialize thinking blocks for `_thinking`."""
    return json.dumps({"model": model, "blocks": blocks}, separators=(",", ":")).encode()


def wire_id(call_id: str) -> str:
    """Return a call id in Anthropic's alphabet and length; changed ids end with a hash that keeps them distinct."""
    if _WIRE_ID.fullmatch(call_id):
        return call_id
    mark = hashlib.sha256(call_id.encode("utf-8", "replace")).hexdigest()[:12]
    return f"{_OTHER.sub('_', call_id)[: ID_CHARACTERS_MAX - 13]}_{mark}"
