"""Validates protobuf requests and translates them into the domain; errors name the field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jsonschema
from hocket.llm_router.v1 import llm_router_pb2 as pb

from hocket.chassis.errors import InvalidArgument, invalid_field
from services.llm_router.catalog.tiers import TierTable
from services.llm_router.chat import strict_json
from services.llm_router.chat.images import MIME_TYPES, size_of
from services.llm_router.chat.request import (
    CALL_ID_CHARACTERS_MAX,
    TOOL_NAME,
    ImagePart,
    Message,
    MixMode,
    Part,
    Passage,
    Request,
    Role,
    Text,
    Tier,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

MESSAGES_MAX = 1000
PARTS_MAX = 256
# Over all messages. A part costs up to 0.1 ms of the server's only thread in a vendor's SDK, whatever its size.
PARTS_IN_ALL_MAX = 4096
TEXT_BYTES_MAX = 4 * 1024 * 1024
IMAGE_BYTES_MAX = 4 * 1024 * 1024
# Larger than the thinking state of the longest answer.
STATE_BYTES_MAX = 1024 * 1024
TOOLS_MAX = 128
TOOL_ROUNDS_MAX = 16
SCHEMA_BYTES_MAX = 64 * 1024
OUTPUT_TOKENS_MAX = 65_536
# Limits of the ledger: a longer value could not be recorded with the cost.
NAMES_BYTES_MAX = {"conversation_id": 256, "turn_id": 128, "room": 256}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ROLES = {
    pb.ROLE_SYSTEM: Role.SYSTEM,
    pb.ROLE_USER: Role.USER,
    pb.ROLE_ASSISTANT: Role.ASSISTANT,
    pb.ROLE_TOOL: Role.TOOL,
}
_TIERS = {pb.TIER_SIMPLE: Tier.SIMPLE, pb.TIER_MODERATE: Tier.MODERATE, pb.TIER_COMPLEX: Tier.COMPLEX}
_CHOICES = {
    pb.TOOL_CHOICE_UNSPECIFIED: ToolChoice.AUTO,
    pb.TOOL_CHOICE_AUTO: ToolChoice.AUTO,
    pb.TOOL_CHOICE_NONE: ToolChoice.NONE,
    pb.TOOL_CHOICE_REQUIRED: ToolChoice.REQUIRED,
}
_MODES = {pb.MIX_MODE_SHARE: MixMode.SHARE, pb.MIX_MODE_CAP: MixMode.CAP, pb.MIX_MODE_QUALITY: MixMode.QUALITY}


def request_from_proto(wire: pb.GenerateRequest, table: TierTable, inside: str = "") -> Request:
    """Validate a request.

    Args:
        wire: The protobuf request.
        table: Current tier table.
        inside: Path of the request in an enclosing message ("request."), prefixed to field names.

    Raises:
        InvalidArgument: Names the first invalid field.
    """
    try:
        return _request(wire, table)
    except InvalidArgument as error:
        if not inside:
            raise
        fields = {f"{inside}{path}": problem for path, problem in error.fields.items()}
        raise InvalidArgument(f"{inside}{error.message}", fields=fields, reason=error.reason) from None


def outcome_from_proto(wire: pb.RecordOutcomeRequest) -> tuple[str, str]:
    """Return turn id and outcome ("thumbs_up", "re_asked", …). Raises InvalidArgument."""
    if not wire.turn_id:
        raise invalid_field("turn_id", "must be the turn_id of a Generate request")
    _check_name("turn_id", wire.turn_id, NAMES_BYTES_MAX["turn_id"])
    if wire.outcome == pb.OUTCOME_UNSPECIFIED or wire.outcome not in pb.Outcome.values():
        raise invalid_field("outcome", "must be a value of hocket.llm_router.v1.Outcome")
    return wire.turn_id, pb.Outcome.Name(wire.outcome).removeprefix("OUTCOME_").lower()


def _request(wire: pb.GenerateRequest, table: TierTable) -> Request:
    if not wire.messages:
        raise invalid_field("messages", "must hold at least one message")
    if len(wire.messages) > MESSAGES_MAX:
        raise invalid_field("messages", f"must hold at most {MESSAGES_MAX} messages, has {len(wire.messages)}")
    parts = sum(len(m.parts) for m in wire.messages)
    if parts > PARTS_IN_ALL_MAX:
        raise _too_large("messages", f"hold {parts} parts; send at most {PARTS_IN_ALL_MAX} (join the texts of a turn)")
    text_bytes = sum(len(p.text) for m in wire.messages for p in m.parts)
    if text_bytes > TEXT_BYTES_MAX:
        raise _too_large("messages", f"hold {text_bytes} characters of text; send at most {TEXT_BYTES_MAX}")
    messages = tuple(_message(f"messages[{i}]", m) for i, m in enumerate(wire.messages))
    _check_calls(messages)
    tools = _tools(wire)
    choice = _known("tool_choice", _CHOICES, wire.tool_choice)
    if choice is ToolChoice.REQUIRED and not tools:
        raise invalid_field("tool_choice", "REQUIRED needs at least one tool in tools")
    if not 0 <= wire.max_output_tokens <= OUTPUT_TOKENS_MAX:
        raise invalid_field("max_output_tokens", f"must be 1 to {OUTPUT_TOKENS_MAX}, or 0 for the default")
    for name, bytes_max in NAMES_BYTES_MAX.items():
        _check_name(name, getattr(wire, name), bytes_max)
    if wire.pin_model and not any(wire.pin_model in aliases for aliases in table.tiers.values()):
        raise invalid_field("pin_model", f"{wire.pin_model!r} is not in any tier; see ListModels for the aliases")
    schema = wire.response_json_schema
    request = Request(
        messages=messages,
        tools=tools,
        tool_choice=choice,
        response_schema=_schema("response_json_schema", schema) if schema else None,
        max_output_tokens=wire.max_output_tokens,
        conversation_id=wire.conversation_id,
        turn_id=wire.turn_id,
        room=wire.room,
        speculative=wire.speculative,
        pin_tier=_known("pin_tier", _TIERS, wire.pin_tier) if wire.pin_tier else None,
        pin_model=wire.pin_model,
        mix_mode=_known("mix_mode", _MODES, wire.mix_mode) if wire.mix_mode else None,
    )
    _check_length(request, table)
    return request


def _check_name(path: str, value: str, bytes_max: int) -> None:
    if len(value.encode()) > bytes_max:
        raise invalid_field(path, f"must be at most {bytes_max} bytes long")
    if _CONTROL.search(value):
        raise invalid_field(path, "must hold no control characters")


def _check_length(request: Request, table: TierTable) -> None:
    widest = max(m.context_window_tokens for m in table.models.values())
    tokens = request.prompt_tokens
    if tokens > widest:
        raise _too_large("messages", f"have about {tokens} tokens; the largest context window is {widest}")


def _message(path: str, wire: pb.Message) -> Message:
    role = _ROLES.get(wire.role)
    if role is None:
        raise invalid_field(f"{path}.role", "must be SYSTEM, USER, ASSISTANT or TOOL")
    if not wire.parts:
        raise invalid_field(f"{path}.parts", "must hold at least one part")
    if len(wire.parts) > PARTS_MAX:
        raise invalid_field(f"{path}.parts", f"must hold at most {PARTS_MAX} parts")
    parts = tuple(_part(f"{path}.parts[{i}]", p, role) for i, p in enumerate(wire.parts))
    return Message(role, parts)


def _part(path: str, wire: pb.Part, role: Role) -> Part:
    for provider, state in wire.provider_state.items():
        if len(state) > STATE_BYTES_MAX:
            raise _too_large(f"{path}.provider_state[{provider!r}]", f"must be at most {STATE_BYTES_MAX} bytes")
    states = dict(wire.provider_state)
    kind = wire.WhichOneof("content")
    _check_place(path, kind, role)
    match kind:
        case "text":
            return Text(wire.text, states)
        case "image":
            return _picture(f"{path}.image", wire.image)
        case "tool_call":
            call = wire.tool_call
            _named(f"{path}.tool_call", call.call_id, call.name)
            _json_object(f"{path}.tool_call.arguments_json", call.arguments_json or "{}")
            return ToolCall(call.call_id, call.name, call.arguments_json or "{}", states)
        case "tool_result":
            result = wire.tool_result
            if not result.call_id:
                raise invalid_field(f"{path}.tool_result.call_id", "must name the call it answers")
            return ToolResult(result.call_id, result.name, result.content, result.is_error)
        case "passage":
            passage = wire.passage
            return Passage(passage.document_id, passage.title, passage.text, passage.score)
        case _:
            raise invalid_field(f"{path}.content", "must be set: text, image, tool_call, tool_result or passage")


def _check_place(path: str, kind: str | None, role: Role) -> None:
    places = {
        "image": (Role.USER,),
        "tool_call": (Role.ASSISTANT,),
        "tool_result": (Role.TOOL,),
        "passage": (Role.USER, Role.SYSTEM),
    }
    allowed = places.get(kind or "")
    if allowed is not None and role not in allowed:
        raise invalid_field(f"{path}.{kind}", f"belongs in a message of role {' or '.join(r.upper() for r in allowed)}")
    if role is Role.TOOL and kind is not None and kind != "tool_result":
        raise invalid_field(f"{path}.{kind}", "a message of role TOOL may hold tool results only")


def _picture(path: str, wire: pb.Image) -> ImagePart:
    if len(wire.data) > IMAGE_BYTES_MAX:
        raise _too_large(f"{path}.data", f"must be at most {IMAGE_BYTES_MAX} bytes")
    if wire.mime_type not in MIME_TYPES:
        raise invalid_field(f"{path}.mime_type", f"must be one of {', '.join(MIME_TYPES)}")
    try:
        size = size_of(wire.data, wire.mime_type)
    except ValueError as error:
        raise invalid_field(f"{path}.data", str(error)) from error
    return ImagePart(wire.data, wire.mime_type, *size, _moment(f"{path}.captured_at", wire))


def _moment(path: str, wire: pb.Image) -> float | None:
    if not wire.HasField("captured_at"):
        return None
    try:
        return wire.captured_at.ToMilliseconds() / 1000
    except ValueError as error:
        raise invalid_field(path, f"must be a time between the years 1 and 9999: {error}") from error


def _check_calls(messages: tuple[Message, ...]) -> None:
    """Check that results answer earlier calls, that call ids are unique, and that tool rounds of a turn are bounded."""
    open_calls: set[str] = set()
    rounds = 0
    for i, message in enumerate(messages):
        if message.role is Role.USER:
            rounds = 0
        made = [(j, p) for j, p in enumerate(message.parts) if isinstance(p, ToolCall)]
        for j, call in made:
            if call.call_id in open_calls:
                field = f"messages[{i}].parts[{j}].tool_call.call_id"
                raise invalid_field(field, f"{call.call_id!r} is a duplicate; each call needs a unique id")
            open_calls.add(call.call_id)
        rounds += bool(made)
        if rounds > TOOL_ROUNDS_MAX:
            raise invalid_field(
                "messages", f"hold more than {TOOL_ROUNDS_MAX} rounds of tool calls in one turn; stop the loop"
            )
        for j, part in enumerate(message.parts):
            if isinstance(part, ToolResult) and part.call_id not in open_calls:
                field = f"messages[{i}].parts[{j}].tool_result.call_id"
                raise invalid_field(field, f"no earlier call has the id {part.call_id!r}")


def _tools(wire: pb.GenerateRequest) -> tuple[Tool, ...]:
    if len(wire.tools) > TOOLS_MAX:
        raise invalid_field("tools", f"must hold at most {TOOLS_MAX} tools")
    tools: list[Tool] = []
    for i, tool in enumerate(wire.tools):
        if not TOOL_NAME.fullmatch(tool.name):
            raise invalid_field(f"tools[{i}].name", "must be 1 to 64 characters of [a-zA-Z0-9_-]")
        if any(t.name == tool.name for t in tools):
            raise invalid_field(f"tools[{i}].name", f"{tool.name!r} is a duplicate")
        path = f"tools[{i}].parameters_json_schema"
        parameters = _schema(path, tool.parameters_json_schema or '{"type":"object","properties":{}}')
        if parameters.get("type") != "object":
            raise invalid_field(path, 'must describe an object: {"type": "object", ...}')
        tools.append(Tool(tool.name, tool.description, parameters))
    return tuple(tools)


def _schema(path: str, text: str) -> Mapping[str, Any]:
    if len(text) > SCHEMA_BYTES_MAX:
        raise _too_large(path, f"must be at most {SCHEMA_BYTES_MAX} characters long")
    problem, schema = _parsed_schema(text)
    if problem:
        raise invalid_field(path, problem)
    return schema


@lru_cache(maxsize=512)
def _parsed_schema(text: str) -> tuple[str, Mapping[str, Any]]:
    # Cached: agents send the same few schemas with each turn, and validating one takes about 1 ms.
    try:
        schema = strict_json.parse_object(text)
    except ValueError as error:
        return f"is not valid JSON: {error}", {}
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        return f"is not a JSON Schema: at {error.json_path}: {error.message[:200]}", {}
    except RecursionError:
        return "is nested too deeply", {}
    return "", schema


def _json_object(path: str, text: str) -> None:
    try:
        strict_json.parse_object(text)
    except ValueError as error:
        raise invalid_field(path, f"is not valid JSON: {error}") from error


def _named(path: str, call_id: str, name: str) -> None:
    if not call_id or len(call_id) > CALL_ID_CHARACTERS_MAX:
        raise invalid_field(f"{path}.call_id", f"must be 1 to {CALL_ID_CHARACTERS_MAX} characters")
    if not TOOL_NAME.fullmatch(name):
        raise invalid_field(f"{path}.name", "must be 1 to 64 characters of [a-zA-Z0-9_-]")


def _known(path: str, values: Mapping[Any, Any], value: int) -> Any:
    if value not in values:
        raise invalid_field(path, f"{value} is not a known value")
    return values[value]


def _too_large(path: str, problem: str) -> InvalidArgument:
    return InvalidArgument(f"{path}: {problem}", fields={path: problem}, reason="TOO_LARGE")
