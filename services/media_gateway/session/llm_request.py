"""Converts a chat context of livekit-agents into the messages and tools of a GenerateRequest."""

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
# Key of provider state in the `extra` of a chat item.
STATE_KEY = "hocket"


def last_user_message(items: Sequence[llm.ChatItem]) -> llm.ChatMessage | None:
    """Return the last message of the user, or None."""
    return next((i for i in reversed(items) if isinstance(i, llm.ChatMessage) and i.role == "user"), None)


def messages_to_proto(
    items: Sequence[llm.ChatItem],
    *,
    items_max: int,
    passages: Sequence[rag_pb2.Passage],
    image: pb.Image | None,
) -> list[pb.Message]:
    """Convert the conversation.

    Args:
        items: Items of the chat context, oldest first.
        items_max: Items to keep besides the instructions; older ones are left out.
        passages: Passages to attach to the user's last message.
        image: Image to attach to the user's last message, or None.

    Returns:
        Messages, oldest first; parallel tool calls share one message, and so do their results.
    """
    question = last_user_message(items)
    converted: list[pb.Message] = []
    for item in _newest(items, items_max):
        message = _message_to_proto(item)
        if message is None:
            continue
        if item is question:
            message.parts.extend(pb.Part(passage=_passage_to_proto(p)) for p in passages)
            if image is not None:
                message.parts.append(pb.Part(image=image))
        if converted and converted[-1].role == message.role and not isinstance(item, llm.ChatMessage):
            converted[-1].parts.extend(message.parts)
        else:
            converted.append(message)
    return converted


def _newest(items: Sequence[llm.ChatItem], items_max: int) -> list[llm.ChatItem]:
    instructions = [i for i in items if isinstance(i, llm.ChatMessage) and i.role in {"system", "developer"}]
    rest = [i for i in items if i not in instructions][-items_max:]
    # Every vendor rejects a tool result without its call.
    while rest and isinstance(rest[0], llm.FunctionCallOutput):
        rest = rest[1:]
    return [*instructions, *rest]


def _message_to_proto(item: llm.ChatItem) -> pb.Message | None:
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


def _passage_to_proto(passage: rag_pb2.Passage) -> pb.Passage:
    return pb.Passage(document_id=passage.document_id, title=passage.title, text=passage.text, score=passage.score)


def image_to_proto(jpeg: bytes, captured_at_s: float) -> pb.Image:
    """Convert a kept frame.

    Args:
        jpeg: The encoded image.
        captured_at_s: Seconds since the epoch.
    """
    stamp = Timestamp()
    stamp.FromNanoseconds(int(captured_at_s * 1e9))
    return pb.Image(data=jpeg, mime_type="image/jpeg", captured_at=stamp)


def tools_to_proto(context: Sequence[llm.Tool | llm.Toolset]) -> list[pb.Tool]:
    """Convert the tools that the model may call in a turn."""
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


def tool_choice_to_proto(choice: object) -> pb.ToolChoice.ValueType:
    """Convert livekit-agents' tool choice; a choice of one named tool becomes `required`."""
    if isinstance(choice, Mapping):
        return pb.TOOL_CHOICE_REQUIRED
    return _CHOICES.get(str(choice), pb.TOOL_CHOICE_UNSPECIFIED)


def state_extra(states: Sequence[pb.ProviderState]) -> dict[str, Any]:
    """Return providers' opaque state as the `extra` of a chat item; empty without state."""
    encoded = {state.provider: base64.b64encode(state.data).decode() for state in states}
    return {STATE_KEY: encoded} if encoded else {}


def _restore_state(part: pb.Part, extra: Mapping[str, Any] | None) -> None:
    encoded: Mapping[str, str] = (extra or {}).get(STATE_KEY) or {}
    for provider, data in encoded.items():
        part.provider_state[provider] = base64.b64decode(data)
