"""Servers with the OpenAI chat API through OpenAI's own SDK, one pooled client, our own retries."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import openai
from openai import AsyncOpenAI, DefaultAioHttpClient
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import ChoiceDelta, ChoiceDeltaToolCall

from chassis.clock import Clock
from services.llm_router.adapters.failures import failure_of
from services.llm_router.adapters.openai_request import params_of
from services.llm_router.conversation import Request, ToolCall
from services.llm_router.errors import FailureKind, ModelFailure
from services.llm_router.events import CallMade, Ended, EndReason, ModelEvent, TextDelta, Unheard, Usage, UsageSeen
from services.llm_router.tiers import Candidate

PROVIDER = "openai"
CONNECT_S = 5.0
_ENDS = {
    "stop": EndReason.STOP,
    "tool_calls": EndReason.TOOL_CALLS,
    "function_call": EndReason.TOOL_CALLS,
    "length": EndReason.LENGTH,
    "content_filter": EndReason.REFUSAL,
}


class OpenAiProvider:
    """Streams answers of whatever stands behind the address."""

    def __init__(self, base_url: str, api_key: str | None, clock: Clock) -> None:
        self._client = AsyncOpenAI(
            # Servers without keys refuse an empty header less gladly than an unused word.
            api_key=api_key or "none",
            base_url=base_url,
            max_retries=0,
            timeout=httpx2.Timeout(600, connect=CONNECT_S),
            http_client=DefaultAioHttpClient(),
        )
        self._clock = clock

    async def stream(self, request: Request, candidate: Candidate) -> AsyncGenerator[ModelEvent, None]:
        """The events of one answer. Raises ModelFailure."""
        reader = ChunkReader()
        # Keyword arguments are built as a dict and the SDK's overloads cannot follow it.
        create: Any = self._client.chat.completions.create
        try:
            stream = await create(**params_of(request, candidate), stream=True)
            try:
                async for chunk in stream:
                    for event in reader.read(chunk):
                        yield event
                for event in reader.end():
                    yield event
            finally:
                await stream.close()
        except openai.APIStatusError as error:
            raise failure_of(
                PROVIDER, error.status_code, headers=error.response.headers, now_s=self._clock.time()
            ) from error
        except openai.APITimeoutError as error:
            raise ModelFailure(FailureKind.TIMEOUT, "the server did not answer in time") from error
        except (openai.APIConnectionError, httpx2.TransportError) as error:
            kind = FailureKind.CUT if reader.started else FailureKind.UNAVAILABLE
            raise ModelFailure(kind, f"the connection to the server broke ({type(error).__name__})") from error
        except (openai.OpenAIError, ValueError) as error:
            raise ModelFailure(
                FailureKind.UNAVAILABLE, "the server sent an error or what is not its protocol"
            ) from error

    async def warm(self, request: Request, candidate: Candidate) -> UsageSeen:  # noqa: ARG002 - see below
        """Such servers cache by themselves, or not at all."""
        raise ModelFailure(FailureKind.INVALID, "has no cache that a call could fill")

    async def count_tokens(self, candidate: Candidate, text: str) -> int | None:  # noqa: ARG002 - see below
        """Such servers have no call for it in common."""
        return None

    async def close(self) -> None:
        """Let pooled connections go."""
        await self._client.close()


@dataclass(slots=True)
class _Call:
    call_id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class ChunkReader:
    """Turns the chunks of one stream into ours; calls are held back until they are whole."""

    started: bool = False
    _calls: list[_Call] = field(default_factory=list[_Call])
    _at: dict[int, _Call] = field(default_factory=dict[int, _Call])
    _reason: str | None = None

    def read(self, chunk: ChatCompletionChunk) -> list[ModelEvent]:
        """The events that follow from one chunk."""
        self.started = True
        events: list[ModelEvent] = []
        if chunk.choices:
            choice = chunk.choices[0]
            if choice.delta.content:
                events.append(TextDelta(choice.delta.content))
            if thought := _thought(choice.delta):
                events.append(Unheard(thought))
            events.extend(self._collect(piece) for piece in choice.delta.tool_calls or ())
            self._reason = choice.finish_reason or self._reason
        if chunk.usage is not None:
            events.append(UsageSeen(_usage(chunk.usage), chunk.model or ""))
        return events

    def end(self) -> list[ModelEvent]:
        """What follows when the stream is over; nothing where no finish reason came: then it was cut."""
        if self._reason is None:
            return []
        calls: list[ModelEvent] = []
        for call in self._calls:
            arguments = json.dumps(json.loads(call.arguments or "{}"), ensure_ascii=False)
            # Not by its place: the next turn's first call would have the same id.
            calls.append(CallMade(ToolCall(call.call_id or f"call_{uuid.uuid4().hex[:24]}", call.name, arguments)))
        # Some servers say "stop" after a call.
        reason = EndReason.TOOL_CALLS if calls else _ENDS.get(self._reason, EndReason.STOP)
        return [*calls, Ended(reason)]

    def _collect(self, piece: ChoiceDeltaToolCall) -> Unheard:
        name = (piece.function and piece.function.name) or ""
        arguments = (piece.function and piece.function.arguments) or ""
        call = self._at.get(piece.index)
        if call is None or _begins_another(call, piece.id, name):
            call = self._at[piece.index] = _Call()
            self._calls.append(call)
        call.call_id = piece.id or call.call_id
        # Once or in pieces; some servers repeat it whole with every piece of the arguments.
        call.name += name if name != call.name else ""
        call.arguments += arguments
        return Unheard(arguments, of_call=True)


def _begins_another(call: _Call, call_id: str | None, name: str) -> bool:
    """Whether a piece at the place of `call` is of another one: some servers send every call whole and at place 0."""
    if call_id and call.call_id:
        return call_id != call.call_id
    return bool(name and call.arguments)


def _thought(delta: ChoiceDelta) -> str:
    """What a thinking model says to itself; servers differ in what they call it."""
    extra = delta.model_extra or {}
    thought = extra.get("reasoning_content") or extra.get("reasoning")
    return thought if isinstance(thought, str) else ""


def _usage(row: CompletionUsage) -> Usage:
    cached = (row.prompt_tokens_details.cached_tokens or 0) if row.prompt_tokens_details else 0
    thinking = (row.completion_tokens_details.reasoning_tokens or 0) if row.completion_tokens_details else 0
    return Usage(
        input_tokens=max(row.prompt_tokens - cached, 0),
        cached_input_tokens=cached,
        output_tokens=row.completion_tokens,
        thinking_tokens=thinking,
    )
