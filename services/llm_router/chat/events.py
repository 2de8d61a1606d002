"""What happens while a model answers, in no vendor's words."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from enum import StrEnum

from services.llm_router.chat.request import ToolCall

# In one call, of one kind; a thousand times the widest window.
TOKENS_MAX = 10**9


class EndReason(StrEnum):
    """How an answer ended."""

    STOP = "stop"
    TOOL_CALLS = "tool_calls"
    LENGTH = "length"
    REFUSAL = "refusal"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one attempt, each counted once: the three kinds of input add up to the prompt.

    `thinking_tokens` is the part of `output_tokens` spent on thinking.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int = 0

    @property
    def cache_write_tokens(self) -> int:
        """Input written to the vendor's cache, whatever its time to live."""
        return self.cache_write_5m_tokens + self.cache_write_1h_tokens

    @property
    def prompt_tokens(self) -> int:
        """All input: fresh, read from the cache, written to it."""
        return self.input_tokens + self.cached_input_tokens + self.cache_write_tokens

    @property
    def possible(self) -> bool:
        """Whether a vendor can mean it; some servers count below nothing, or past what a book holds."""
        return all(0 <= count <= TOKENS_MAX for count in astuple(self))


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of text, never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallEvent:
    """A whole tool call."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class HiddenOutput:
    """Output that is billed and not passed on: thinking, or (`of_call`) a piece of a tool call not whole yet."""

    text: str
    of_call: bool = False


@dataclass(frozen=True, slots=True)
class ProviderStateEvent:
    """What `provider` wants back with the text (`call_id` empty) or with a tool call."""

    provider: str
    call_id: str
    data: bytes


@dataclass(frozen=True, slots=True)
class UsageUpdate:
    """Usage known so far; a later one replaces it. `served_model` as the vendor names it, empty when not told.

    `output_reported` is false where the vendor has not said yet how much the output is that came with it and before.
    """

    usage: Usage
    served_model: str = ""
    output_reported: bool = True


@dataclass(frozen=True, slots=True)
class AnswerEnd:
    """The vendor's own end of the answer. A stream that stops without one was cut."""

    reason: EndReason


ModelEvent = TextDelta | ToolCallEvent | HiddenOutput | ProviderStateEvent | UsageUpdate | AnswerEnd
