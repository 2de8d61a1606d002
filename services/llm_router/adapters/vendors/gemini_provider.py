"""The Gemini API through Google's SDK: one pooled client, no SDK retries."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast

import httpx2
from google.genai import Client, errors, types

from hocket.chassis.clock import Clock
from hocket.chassis.telemetry import trace_headers
from services.llm_router.adapters.mesh.cache_costs import CacheCosts
from services.llm_router.adapters.vendors.failures import (
    PROTOCOL_ERRORS,
    connection_failure,
    failure_from_status,
    rejects_api_key,
    retry_after,
    retry_info,
)
from services.llm_router.adapters.vendors.gemini_caches import GeminiCaches
from services.llm_router.adapters.vendors.gemini_request import PROVIDER, config_of, contents_of
from services.llm_router.catalog.tiers import Candidate
from services.llm_router.chat.events import (
    AnswerEnd,
    EndReason,
    ModelEvent,
    ProviderStateEvent,
    TextDelta,
    ToolCallEvent,
    Usage,
    UsageUpdate,
)
from services.llm_router.chat.request import Request, ToolCall
from services.llm_router.errors import FailureKind, ModelFailure

CONNECT_TIMEOUT_S = 5.0
TOTAL_TIMEOUT_S = 600.0
_TOO_MANY = 429
_LENGTH = frozenset({types.FinishReason.MAX_TOKENS})
_REFUSAL = frozenset(
    {
        types.FinishReason.SAFETY,
        types.FinishReason.RECITATION,
        types.FinishReason.BLOCKLIST,
        types.FinishReason.PROHIBITED_CONTENT,
        types.FinishReason.SPII,
        types.FinishReason.LANGUAGE,
        types.FinishReason.IMAGE_SAFETY,
        types.FinishReason.IMAGE_PROHIBITED_CONTENT,
        types.FinishReason.IMAGE_RECITATION,
        types.FinishReason.MODEL_ARMOR,
    }
)
# Generation failed: the output may be incomplete or lack the announced call.
_BROKEN = frozenset(
    {
        types.FinishReason.MALFORMED_FUNCTION_CALL,
        types.FinishReason.UNEXPECTED_TOOL_CALL,
        types.FinishReason.TOO_MANY_TOOL_CALLS,
        types.FinishReason.MISSING_THOUGHT_SIGNATURE,
        types.FinishReason.MALFORMED_RESPONSE,
        types.FinishReason.OTHER,
    }
)


class GeminiProvider:
    """Streams answers of Gemini models."""

    def __init__(self, api_key: str, base_url: str | None, clock: Clock, costs: CacheCosts) -> None:
        """Record explicit caches through `costs`."""
        # The SDK uses aiohttp where installed unless given a client; pinned, so that tests and production share a
        # transport.
        timeout = httpx2.Timeout(TOTAL_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        self._http = httpx2.AsyncClient(
            timeout=timeout,
            limits=httpx2.Limits(max_connections=1000, max_keepalive_connections=100),
        )
        self._client = Client(
            api_key=api_key,
            vertexai=False,
            http_options=types.HttpOptions(
                base_url=base_url, timeout=int(TOTAL_TIMEOUT_S * 1000), httpx_async_client=self._http
            ),
        )
        self._clock = clock
        self._caches = GeminiCaches(self._client, clock, costs)

    async def stream(self, request: Request, candidate: Candidate) -> AsyncGenerator[ModelEvent, None]:
        """Stream one answer. Raises ModelFailure."""
        # Outside of the try block: errors here are the router's.
        reader, contents = ChunkReader(), contents_of(request, candidate)
        config = self._caches.config(request, candidate)
        try:
            async with aclosing(self._chunks(request, candidate, contents, config)) as chunks:
                async for chunk in chunks:
                    for event in reader.read(chunk):
                        yield event
            for event in reader.end():
                yield event
        except errors.APIError as error:
            raise self._failure(error) from error
        except httpx2.TransportError as error:
            raise connection_failure(PROVIDER, error, started=reader.started) from error
        except PROTOCOL_ERRORS as error:
            raise ModelFailure(
                FailureKind.UNAVAILABLE, "gemini sent a malformed response", may_be_billed=True
            ) from error

    async def _chunks(
        self,
        request: Request,
        candidate: Candidate,
        contents: Sequence[types.Content],
        config: types.GenerateContentConfig,
    ) -> AsyncGenerator[types.GenerateContentResponse, None]:
        """Yield the vendor's chunks; without the explicit cache where the vendor has lost it."""
        started = False
        try:
            async for chunk in await self._ask(candidate, contents, config):
                started = True
                yield chunk
        except errors.ClientError as error:
            if started or config.cached_content is None or error.code == _TOO_MANY:
                raise
            self._caches.forget(config.cached_content)
        else:
            return
        async for chunk in await self._ask(candidate, contents, config_of(request, candidate)):
            yield chunk

    async def _ask(
        self, candidate: Candidate, contents: Sequence[types.Content], config: types.GenerateContentConfig
    ) -> AsyncIterator[types.GenerateContentResponse]:
        return await self._client.aio.models.generate_content_stream(
            model=candidate.vendor_model,
            contents=list[types.ContentUnion](contents),
            config=config.model_copy(update={"http_options": types.HttpOptions(headers=trace_headers())}),
        )

    def _failure(self, error: errors.APIError) -> ModelFailure:
        # Untyped in the SDK; the response type depends on the transport.
        response, details = cast("Any", error).response, cast("Any", error).details
        headers = getattr(response, "headers", None)
        wait = retry_info(details)
        if wait is None and headers is not None:
            wait = retry_after(headers, self._clock.time())
        if rejects_api_key(details):
            return ModelFailure(FailureKind.CREDENTIALS, "gemini rejected the API key")
        return failure_from_status(PROVIDER, error.code, error_type=error.status, retry_after_s=wait)

    async def prewarm(self, request: Request, candidate: Candidate) -> UsageUpdate:  # noqa: ARG002 - see below
        """Fail: Gemini caches implicitly, and explicit caches are created where they pay."""
        raise ModelFailure(FailureKind.INVALID, "has no explicit cache to prewarm")

    async def count_tokens(self, candidate: Candidate, text: str) -> int | None:  # noqa: ARG002 - see below
        """Return None: every chunk reports usage."""
        return None

    async def close(self) -> None:
        """Delete explicit caches and close pooled connections."""
        await self._caches.close()
        await self._http.aclose()


@dataclass(slots=True)
class ChunkReader:
    """Translates the chunks of one stream. Each chunk reports usage so far."""

    started: bool = False
    _ended: EndReason | None = None
    _broken: str | None = None
    _called: bool = False
    _signature: bytes | None = None
    _usage: Usage = field(default_factory=Usage)

    def read(self, chunk: types.GenerateContentResponse) -> list[ModelEvent]:
        """Translate one chunk."""
        self.started = True
        events: list[ModelEvent] = []
        candidate = chunk.candidates[0] if chunk.candidates else None
        for part in (candidate.content.parts if candidate and candidate.content else None) or ():
            events.extend(self._part(part))
        if chunk.usage_metadata is not None:
            usage_metadata = chunk.usage_metadata
            self._usage = _usage(usage_metadata, self._usage)
            # Some chunks report the prompt only: their output is not counted yet.
            output_reported = (
                usage_metadata.candidates_token_count is not None or usage_metadata.thoughts_token_count is not None
            )
            events.append(UsageUpdate(self._usage, chunk.model_version or "", output_reported))
        if chunk.prompt_feedback is not None and chunk.prompt_feedback.block_reason is not None:
            self._ended = EndReason.REFUSAL
        if candidate is not None and candidate.finish_reason is not None:
            self._end_with(candidate.finish_reason)
        return events

    def end(self) -> list[ModelEvent]:
        """Translate the end of the stream; empty without a finish reason, which means that it was cut.

        Raises:
            ModelFailure: The finish reason reports a failed generation.
        """
        if self._broken is not None:
            raise ModelFailure(FailureKind.CUT, f"gemini failed to generate ({self._broken})")
        if self._ended is None:
            return []
        state = [ProviderStateEvent(PROVIDER, "", self._signature)] if self._signature else []
        return [*state, AnswerEnd(self._ended)]

    def _end_with(self, reason: types.FinishReason) -> None:
        if reason in _BROKEN:
            self._broken = reason.value.lower()
        elif reason in _LENGTH:
            self._ended = EndReason.LENGTH
        elif reason in _REFUSAL:
            self._ended = EndReason.REFUSAL
        else:
            self._ended = EndReason.TOOL_CALLS if self._called else EndReason.STOP

    def _part(self, part: types.Part) -> list[ModelEvent]:
        if part.function_call is not None:
            call = part.function_call
            call_id = call.id or f"call_{uuid.uuid4().hex[:24]}"
            arguments = json.dumps(call.args or {}, ensure_ascii=False)
            made = ToolCallEvent(ToolCall(call_id, call.name or "", arguments))
            # An empty state marks a call of Gemini without signature: of parallel calls only the first is signed.
            state = ProviderStateEvent(PROVIDER, call_id, part.thought_signature or b"")
            first, self._called = not self._called, True
            return [made, state] if part.thought_signature or not first else [made]
        if part.thought_signature:
            self._signature = part.thought_signature
        return [TextDelta(part.text)] if part.text and not part.thought else []


def _usage(row: types.GenerateContentResponseUsageMetadata, before: Usage) -> Usage:
    """Return the usage after `row`: counts are totals so far; missing output counts keep their previous value."""
    cached = row.cached_content_token_count or 0
    prompt = (row.prompt_token_count or 0) + (row.tool_use_prompt_token_count or 0)
    thoughts = _or_before(row.thoughts_token_count, before.thinking_tokens)
    words = _or_before(row.candidates_token_count, before.output_tokens - before.thinking_tokens)
    return Usage(
        input_tokens=max(prompt - cached, 0),
        cached_input_tokens=cached,
        output_tokens=words + thoughts,
        thinking_tokens=thoughts,
    )


def _or_before(count: int | None, before: int) -> int:
    return before if count is None else count
