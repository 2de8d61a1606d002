"""A conversation of livekit-agents as a request to the router."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from hocket.llm_router.v1 import llm_router_pb2 as pb
from hocket.rag.v1 import rag_pb2
from livekit.agents import llm

_ROLES = {
    "system": pb.ROLE_SYSTEM,
    "developer": pb.ROLE_SYSTEM,
    "user": pb.ROLE_USER,
    "assistant": pb.ROLE_ASSISTANT,
}
_CHOICES = {
    "auto": pb.TOOL_CHOICE_AUTO,
    "none": pb.TOOL_CHOICE_NONE,
    "required": pb.TOOL_CHOICE_REQUIRED,
}
STATE_KEY = "hocket"


def last_user_message(items: Sequence[llm.ChatItem]) -> llm.ChatMessage | None:
    """What the person said last, or None."""
    return next((i for i in reversed(items) if isinstance(i, llm.ChatMessage) and i.role == "user"), None)


def messages(
    items: Sequence[llm.ChatItem],
    *,
    items_max: int,
    passages: Sequence[rag_pb2.Passage],
    image: pb.Image | None,
) -> list[pb.Message]:
    """The conversation, oldest first; passages and the picture go with what the person said last."""
    asked = last_user_message(items)
    wired: list[pb.Message] = []
    for item in _within(items, items_max):
        message = _message(item)
        if message is None:
            continue
        if item is asked:
            message.parts.extend(pb.Part(passage=_passage(p)) for p in passages)
            if image is not None:
                message.parts.append(pb.Part(image=image))
        # Parallel calls are one message of the agent, and their results one of the tools.
        if wired and wired[-1].role == message.role and not isinstance(item, llm.ChatMessage):
            wired[-1].parts.extend(message.parts)
        else:
            wired.append(message)
    return wired


def _within(items: Sequence[llm.ChatItem], items_max: int) -> list[llm.ChatItem]:
    instructions = [i for i in items if isinstance(i, llm.ChatMessage) and i.role in {"system", "developer"}]
    rest = [i for i in items if i not in instructions][-items_max:]
    # A result whose call was cut off would be refused by every vendor.
    while rest and isinstance(rest[0], llm.FunctionCallOutput):
        rest = rest[1:]
    return [*instructions, *rest]


def _message(item: llm.ChatItem) -> pb.Message | None:
    if isinstance(item, llm.ChatMessage):
        text = item.text_content
        if not text:
            return None
        part = pb.Part(text=text)
        _restore_state(part, item.extra)
        return pb.Message(role=_ROLES[item.role], parts=[part])
    if isinstance(item, llm.FunctionCall):
        call = pb.ToolCall(call_id=item.call_id, name=item.name, arguments_json=item.arguments or "{}")
        part = pb.Part(tool_call=call)
        _restore_state(part, item.extra)
        return pb.Message(role=pb.ROLE_ASSISTANT, parts=[part])
    if isinstance(item, llm.FunctionCallOutput):
        result = pb.ToolResult(call_id=item.call_id, name=item.name, content=item.output, is_error=item.is_error)
        return pb.Message(role=pb.ROLE_TOOL, parts=[pb.Part(tool_result=result)])
    return None


def _passage(passage: rag_pb2.Passage) -> pb.Passage:
    return pb.Passage(document_id=passage.document_id, title=passage.title, text=passage.text, score=passage.score)


def image(jpeg: bytes, captured_at_s: float) -> pb.Image:
    """A kept frame; `captured_at_s` since the epoch."""
    stamp = Timestamp()
    stamp.FromNanoseconds(int(captured_at_s * 1e9))
    return pb.Image(data=jpeg, mime_type="image/jpeg", captured_at=stamp)


def tools(context: Sequence[llm.Tool | llm.Toolset]) -> list[pb.Tool]:
    """The tools of a turn."""
    described: list[dict[str, Any]] = llm.ToolContext(list(context)).parse_function_tools("openai")
    functions = [entry["function"] for entry in described if entry.get("type") == "function"]
    return [
        pb.Tool(
            name=function["name"],
            description=function.get("description", ""),
            parameters_json_schema=json.dumps(function.get("parameters", {"type": "object"})),
        )
        for function in functions
    ]


def tool_choice(choice: object) -> pb.ToolChoice.ValueType:
    """Whether tools may be called; a choice of one named tool is asked for as `required`."""
    if isinstance(choice, Mapping):
        return pb.TOOL_CHOICE_REQUIRED
    return _CHOICES.get(str(choice), pb.TOOL_CHOICE_UNSPECIFIED)


def state_extra(states: Sequence[pb.ProviderState]) -> dict[str, Any]:
    """Vendors' opaque state as the `extra` of an item of the conversation; empty for none."""
    held = {state.provider: base64.b64encode(state.data).decode() for state in states}
    return {STATE_KEY: held} if held else {}


def _restore_state(part: pb.Part, extra: Mapping[str, Any] | None) -> None:
    held: Mapping[str, str] = (extra or {}).get(STATE_KEY) or {}
    for provider, data in held.items():
        part.provider_state[provider] = base64.b64decode(data)
