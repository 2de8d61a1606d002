"""Servers with the OpenAI chat API through OpenAI's SDK: one pooled client, no SDK retries."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, cast

import httpx2
import openai
from openai import AsyncOpenAI, DefaultAioHttpClient
from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import (
    ChoiceDelta,
    ChoiceDeltaFunctionCall,
    ChoiceDeltaToolCallFunction,
)

from hocket.chassis.clock import Clock
from hocket.chassis.telemetry import trace_headers
from services.llm_router.adapters.vendors.failures import PROTOCOL_ERRORS, connection_failure, failure_from_status
from services.llm_router.adapters.vendors.openai_request import params_of
from services.llm_router.adapters.vendors.token_counts import is_token_count, valid_token_count
from services.llm_router.catalog.tiers import Candidate
from services.llm_router.chat.events import (
    AnswerEnd,
    EndReason,
    HiddenOutput,
    ModelEvent,
    TextDelta,
    ToolCallEvent,
    Usage,
    UsageUpdate,
)
from services.llm_router.chat.request import Request, ToolCall
from services.llm_router.chat.tool_calls import parse_arguments
from services.llm_router.errors import FailureKind, ModelFailure

PROVIDER = "openai"
CONNECT_TIMEOUT_S = 5.0
_ENDS = {
    "stop": EndReason.STOP,
    "tool_calls": EndReason.TOOL_CALLS,
    "function_call": EndReason.TOOL_CALLS,
    "length": EndReason.LENGTH,
    "content_filter": EndReason.REFUSAL,
}
_CUT_SHORT = frozenset({EndReason.LENGTH, EndReason.REFUSAL})
# Not a value of OpenAI's: proxies send it when their upstream failed.
_BROKEN = "error"
# The single call of the legacy API has no index.
_LEGACY_PLACE = -1
_Function = ChoiceDeltaToolCallFunction | ChoiceDeltaFunctionCall


class OpenAiProvider:
    """Streams answers of an OpenAI-compatible server."""

    def __init__(self, base_url: str, api_key: str | None, clock: Clock) -> None:
        self._client = AsyncOpenAI(
            # Servers without keys reject an empty header more often than an unused word.
            api_key=api_key or "none",
            base_url=base_url,
            max_retries=0,
            timeout=httpx2.Timeout(600, connect=CONNECT_TIMEOUT_S),
            http_client=DefaultAioHttpClient(),
        )
        self._clock = clock

    async def stream(self, request: Request, candidate: Candidate) -> AsyncGenerator[ModelEvent, None]:
        """Stream one answer. Raises ModelFailure."""
        reader, params, answered = ChunkReader(), params_of(request, candidate), False
        # The SDK's overloads cannot follow keyword arguments from a dict.
        create: Any = self._client.chat.completions.create
        try:
            stream = await create(**params, stream=True, extra_headers=trace_headers())
            answered = True
            try:
                async for chunk in stream:
                    for event in reader.read(chunk):
                        yield event
                for event in reader.end():
                    yield event
            finally:
                await stream.close()
        except openai.APIStatusError as error:
            raise failure_from_status(
                PROVIDER, error.status_code, headers=error.response.headers, now_s=self._clock.time()
            ) from error
        except (openai.APIConnectionError, httpx2.TransportError) as error:
            raise connection_failure("the server", error, started=reader.started) from error
        except (openai.OpenAIError, *PROTOCOL_ERRORS) as error:
            if not answered:
                # Raised before any response: an error of the router.
                raise
            raise ModelFailure(
                FailureKind.UNAVAILABLE, "the server sent an error or a malformed response", may_be_billed=True
            ) from error

    async def prewarm(self, request: Request, candidate: Candidate) -> UsageUpdate:  # noqa: ARG002 - see below
        """Fail: these servers cache implicitly or not at all."""
        raise ModelFailure(FailureKind.INVALID, "has no explicit cache to prewarm")

    async def count_tokens(self, candidate: Candidate, text: str) -> int | None:  # noqa: ARG002 - see below
        """Return None: these servers share no endpoint for it."""
        return None

    async def close(self) -> None:
        """Close pooled connections."""
        await self._client.close()


@dataclass(slots=True)
class _Call:
    call_id: str = ""
    name: str = ""
    arguments: str = ""

    def whole(self) -> ToolCall:
        """Return the call. Raises ValueError when its arguments are not a JSON object."""
        arguments = parse_arguments(self.arguments)
        # Not derived from its index: the next turn's first call would get the same id.
        call_id = self.call_id or f"call_{uuid.uuid4().hex[:24]}"
        return ToolCall(call_id, self.name, json.dumps(arguments, ensure_ascii=False))


@dataclass(slots=True)
class ChunkReader:
    """Translates the chunks of one stream; calls are held until complete.

    The SDK's types describe OpenAI; other servers send missing, null or differently typed fields.
    """

    started: bool = False
    _wrote: bool = False
    _refused: bool = False
    _calls: list[_Call] = field(default_factory=list[_Call])
    _at: dict[int, _Call] = field(default_factory=dict[int, _Call])
    _reason: str | None = None

    def read(self, chunk: ChatCompletionChunk) -> list[ModelEvent]:
        """Translate one chunk."""
        self.started = True
        events: list[ModelEvent] = []
        if chunk.choices:
            choice = chunk.choices[0]
            events.extend(self._delta(cast("ChoiceDelta | None", choice.delta)))
            self._reason = choice.finish_reason or self._reason
        self._wrote = self._wrote or bool(events)
        usage = _usage(chunk.usage)
        # A zero count after output was not counted, and would hide the output.
        if usage is not None and (usage.output_tokens or not self._wrote):
            events.append(UsageUpdate(usage, chunk.model or ""))
        return events

    def end(self) -> list[ModelEvent]:
        """Translate the end of the stream; empty without a finish reason, which means that it was cut.

        Raises:
            ModelFailure: The finish reason reports a failure.
            ValueError: A tool call is invalid.
        """
        if self._reason is None:
            return []
        if self._reason == _BROKEN:
            raise ModelFailure(FailureKind.CUT, "the server failed to generate")
        reason = EndReason.REFUSAL if self._refused else _ENDS.get(self._reason, EndReason.STOP)
        calls: list[ModelEvent] = [ToolCallEvent(call) for call in self._whole_calls(reason)]
        # Some servers send "stop" after a call.
        return [*calls, AnswerEnd(EndReason.TOOL_CALLS if calls and reason is EndReason.STOP else reason)]

    def _whole_calls(self, reason: EndReason) -> list[ToolCall]:
        calls: list[ToolCall] = []
        for call in self._calls:
            try:
                # A call cut before its arguments looks like one without arguments.
                if call.arguments or reason not in _CUT_SHORT:
                    calls.append(call.whole())
            except (ValueError, RecursionError):
                # A call cut by the length or by a filter is dropped.
                if reason not in _CUT_SHORT:
                    raise
        return calls

    def _delta(self, delta: ChoiceDelta | None) -> list[ModelEvent]:
        if delta is None:
            return []
        events: list[ModelEvent] = []
        if text := _text(delta.content):
            events.append(TextDelta(text))
        if thought := _thought(delta):
            events.append(HiddenOutput(thought))
        if delta.refusal:
            # Its text is not an answer: another model may give one.
            self._refused = True
            events.append(HiddenOutput(_text(delta.refusal)))
        events.extend(self._collect(p.index, p.id, p.function) for p in delta.tool_calls or ())
        if delta.function_call:
            events.append(self._collect(_LEGACY_PLACE, None, delta.function_call))
        return events

    def _collect(self, place: int, call_id: str | None, function: _Function | None) -> HiddenOutput:
        name, arguments = (function.name or "", _arguments(function.arguments)) if function else ("", "")
        call, call_id = self._at.get(place), str(call_id or "")
        if call is None or (place != _LEGACY_PLACE and _begins_another(call, call_id, name)):
            call = self._at[place] = _Call()
            self._calls.append(call)
        call.call_id = call_id or call.call_id
        # Sent once or in pieces; some servers repeat the whole name with each fragment of the arguments.
        call.name += name if name != call.name else ""
        call.arguments += arguments
        return HiddenOutput(arguments, of_call=True)


def _begins_another(call: _Call, call_id: str, name: str) -> bool:
    """True when a fragment at the index of `call` starts another call.

    Some servers send every call complete and at index 0.
    """
    if call_id and call.call_id:
        return call_id != call.call_id
    return bool(name and call.arguments)


def _text(content: object) -> str:
    """Return the text of a delta, which some servers send as a list of parts."""
    if isinstance(content, list):
        parts = cast("list[dict[str, Any]]", content)
        return "".join(part["text"] for part in parts if part.get("type") == "text")
    return content if isinstance(content, str) else ""


def _arguments(piece: object) -> str:
    """Return a fragment of arguments; some servers send a complete object instead of text."""
    if isinstance(piece, dict):
        return json.dumps(piece)
    return piece if isinstance(piece, str) else ""


def _thought(delta: ChoiceDelta) -> str:
    """Return the thinking of a delta; servers use different field names."""
    extra = delta.model_extra or {}
    thought = extra.get("reasoning_content") or extra.get("reasoning")
    return thought if isinstance(thought, str) else ""


def _usage(row: object) -> Usage | None:
    """Return the usage; None without prompt or output tokens, since half of it would pass for the whole."""
    prompt, output = valid_token_count(_of(row, "prompt_tokens")), _of(row, "completion_tokens")
    if not prompt or not is_token_count(output):
        return None
    cached = min(valid_token_count(_of(_of(row, "prompt_tokens_details"), "cached_tokens")), prompt)
    thinking = min(valid_token_count(_of(_of(row, "completion_tokens_details"), "reasoning_tokens")), output)
    return Usage(
        input_tokens=prompt - cached,
        cached_input_tokens=cached,
        output_tokens=output,
        thinking_tokens=thinking,
    )


def _of(row: object, name: str) -> object:
    return getattr(row, name, None)
