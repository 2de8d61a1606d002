"""The vendor-neutral request: messages, tools, and constraints on the answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import cached_property
from typing import Any

# Tool names that every vendor accepts.
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
CALL_ID_CHARACTERS_MAX = 256
CHARACTERS_PER_TOKEN = (
    3.6  # Measured on the vendors' tokenizers, English prose has 3.3 to 4.5; a low value overestimates tokens.
)
IMAGE_TOKENS = 1600  # Billed by Anthropic for an image at its largest useful size; Gemini bills 258 to 1548.


class Role(StrEnum):
    """Author of a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Tier(IntEnum):
    """A class of models by price and ability, cheapest first."""

    SIMPLE = 1
    MODERATE = 2
    COMPLEX = 3


class ToolChoice(StrEnum):
    """Whether the model may, must or must not call tools."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"


class MixMode(StrEnum):
    """How the shares of tiers are held: exactly, as ceilings of the dearer tiers, or not at all."""

    SHARE = "share"
    CAP = "cap"
    QUALITY = "quality"


State = Mapping[str, bytes]
_NO_STATE: State = {}


@dataclass(frozen=True, slots=True)
class Text:
    """A text part. `state` is opaque data by provider, sent back with this part in later turns."""

    text: str
    state: State = field(default_factory=lambda: _NO_STATE)


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An image: JPEG, PNG or WebP bytes, size in pixels, and capture time in Unix seconds (None: unknown)."""

    data: bytes
    mime_type: str
    width_px: int
    height_px: int
    captured_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call by the model; `arguments_json` is a JSON object as text."""

    call_id: str
    name: str
    arguments_json: str
    state: State = field(default_factory=lambda: _NO_STATE)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a tool call."""

    call_id: str
    name: str
    content: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage of the tenant's knowledge, as returned by a search."""

    document_id: str
    title: str
    text: str
    score: float = 0.0

    @property
    def prompt_text(self) -> str:
        """The passage as a model reads it: tagged, so that it is taken as material and not as the user's words."""
        title = self.title.replace('"', "'")
        return f'<passage title="{title}">\n{self.text}\n</passage>'


Part = Text | ImagePart | ToolCall | ToolResult | Passage


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the conversation."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def words(self) -> str:
        """The text parts, joined by line breaks."""
        return "\n".join(p.text for p in self.parts if isinstance(p, Text))


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; `parameters` is a JSON Schema of an object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """A validated request. Empty strings mean unset; `max_output_tokens` 0 means the server's default.

    Derived values are cached: routing reads them once for each candidate, and a conversation may be long.
    """

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice.AUTO
    response_schema: Mapping[str, Any] | None = None
    max_output_tokens: int = 0
    conversation_id: str = ""
    turn_id: str = ""
    room: str = ""
    speculative: bool = False
    pin_tier: Tier | None = None
    pin_model: str = ""
    mix_mode: MixMode | None = None

    @property
    def parts(self) -> Iterator[Part]:
        """Every part, in order."""
        return (part for message in self.messages for part in message.parts)

    @cached_property
    def system(self) -> str:
        """The instructions with their passages, joined by blank lines; empty where all are blank."""
        instructions = ("\n".join(_instruction(p) for p in m.parts) for m in self.messages if m.role is Role.SYSTEM)
        joined = "\n\n".join(instructions)
        return joined if joined.strip() else ""

    @cached_property
    def turns(self) -> tuple[Message, ...]:
        """All messages except the instructions."""
        return tuple(m for m in self.messages if m.role is not Role.SYSTEM)

    @property
    def awaits_tool_result(self) -> bool:
        """True when the last message is a tool result, so that the model continues its own turn."""
        return bool(self.messages) and self.messages[-1].role is Role.TOOL

    @cached_property
    def required_capabilities(self) -> frozenset[str]:
        """Capabilities that a model must have, out of "text", "vision", "tools" and "json_schema"."""
        required_capabilities = {"text"}
        if any(isinstance(p, ImagePart) for p in self.parts):
            required_capabilities.add("vision")
        if self.tools and self.tool_choice is not ToolChoice.NONE:
            required_capabilities.add("tools")
        if self.response_schema is not None:
            required_capabilities.add("json_schema")
        return frozenset(required_capabilities)

    @cached_property
    def prefix_tokens(self) -> int:
        """Estimated tokens of the part that is the same in every turn: instructions and tools."""
        tools = sum(tokens_of(t.name) + tokens_of(t.description) + tokens_of(repr(t.parameters)) for t in self.tools)
        return tokens_of(self.system) + tools

    @cached_property
    def prompt_tokens(self) -> int:
        """Estimated tokens of the whole prompt."""
        return self.prefix_tokens + sum(part_tokens(p) for m in self.turns for p in m.parts)


def _instruction(part: Part) -> str:
    match part:
        case Text(text=text):
            return text
        case Passage():
            return part.prompt_text
        case _:
            return ""


def tokens_of(text: str) -> int:
    """Estimate the tokens of `text` from its UTF-8 length, which does not undercount any script."""
    return int(len(text.encode()) / CHARACTERS_PER_TOKEN) + 1 if text else 0


def part_tokens(part: Part) -> int:
    """Estimate the tokens of one part."""
    match part:
        case Text(text=text):
            return tokens_of(text)
        case ImagePart():
            return IMAGE_TOKENS
        case ToolCall():
            return tokens_of(part.name) + tokens_of(part.arguments_json)
        case ToolResult():
            return tokens_of(part.content)
        case Passage():
            return tokens_of(part.title) + tokens_of(part.text)
