"""Events of one answer, vendor-neutral."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from enum import StrEnum

from services.llm_router.chat.request import ToolCall

# Upper bound of a plausible count: a thousand times the widest context window.
TOKENS_MAX = 10**9


class EndReason(StrEnum):
    """How an answer ended. CUT: the stream broke after output."""

    STOP = "stop"
    TOOL_CALLS = "tool_calls"
    LENGTH = "length"
    REFUSAL = "refusal"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one attempt. The three kinds of input are disjoint and add up to the prompt.

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
        """Input tokens written to the vendor's prompt cache, with any lifetime."""
        return self.cache_write_5m_tokens + self.cache_write_1h_tokens

    @property
    def prompt_tokens(self) -> int:
        """All input tokens: uncached, read from the cache, written to it."""
        return self.input_tokens + self.cached_input_tokens + self.cache_write_tokens

    @property
    def possible(self) -> bool:
        """True when every count is plausible; some servers send negative or overflowing numbers."""
        return all(0 <= count <= TOKENS_MAX for count in astuple(self))


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of text, never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallEvent:
    """A complete tool call."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class HiddenOutput:
    """Output that is billed but not forwarded: thinking, or with `of_call` a fragment of a tool call."""

    text: str
    of_call: bool = False


@dataclass(frozen=True, slots=True)
class ProviderStateEvent:
    """Opaque state that `provider` needs back in later turns, with the text (`call_id` empty) or with a tool call."""

    provider: str
    call_id: str
    data: bytes


@dataclass(frozen=True, slots=True)
class UsageUpdate:
    """Usage so far; replaces earlier updates. `served_model` is the vendor's name of the model, empty when not sent.

    `output_reported` is false while the vendor has not yet counted the output sent so far.
    """

    usage: Usage
    served_model: str = ""
    output_reported: bool = True


@dataclass(frozen=True, slots=True)
class AnswerEnd:
    """The vendor's end of the answer. A stream without one was cut."""

    reason: EndReason


ModelEvent = TextDelta | ToolCallEvent | HiddenOutput | ProviderStateEvent | UsageUpdate | AnswerEnd
