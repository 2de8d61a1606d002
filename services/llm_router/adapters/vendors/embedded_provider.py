"""The embedded answerer as a provider, streamed word by word."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator

from hocket.chassis.clock import Clock
from services.llm_router.catalog.tiers import Candidate
from services.llm_router.chat.events import (
    AnswerEnd,
    EndReason,
    ModelEvent,
    TextDelta,
    ToolCallEvent,
    Usage,
    UsageUpdate,
)
from services.llm_router.chat.request import Request, ToolCall, tokens_of
from services.llm_router.embedded.answers import ToolRequest, respond, split_words
from services.llm_router.embedded.image_summary import summarize_image
from services.llm_router.errors import FailureKind, ModelFailure


class EmbeddedProvider:
    """Answers in this process at no cost."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def stream(self, request: Request, candidate: Candidate) -> AsyncGenerator[ModelEvent, None]:
        """Stream the answer of the rules; token counts are estimates."""
        now_s = self._clock.time()
        if "vision" in request.required_capabilities:
            # Decoding an image takes up to 0.1 s of a thread, and the server has one event loop.
            answer = await asyncio.to_thread(respond, request, summarize_image, now_s)
        else:
            answer = respond(request, summarize_image, now_s)
        if isinstance(answer, ToolRequest):
            arguments = json.dumps(answer.arguments, ensure_ascii=False)
            yield ToolCallEvent(ToolCall(f"call_{uuid.uuid4().hex[:24]}", answer.name, arguments))
            output, reason = arguments, EndReason.TOOL_CALLS
        else:
            for delta in split_words(answer.text):
                yield TextDelta(delta)
            output, reason = answer.text, EndReason.STOP
        usage = Usage(input_tokens=request.prompt_tokens, output_tokens=tokens_of(output))
        yield UsageUpdate(usage, candidate.vendor_model)
        yield AnswerEnd(reason)

    async def prewarm(self, request: Request, candidate: Candidate) -> UsageUpdate:  # noqa: ARG002 - see below
        """Fail: it has no cache."""
        raise ModelFailure(FailureKind.INVALID, "has no explicit cache to prewarm")

    async def count_tokens(self, candidate: Candidate, text: str) -> int | None:  # noqa: ARG002 - see below
        """Return None: usage is reported with the answer."""
        return None

    async def close(self) -> None:
        """Do nothing: it holds no resources."""
