"""The embedded answerer as a provider: the rules of `answering`, streamed word by word with no delay of its own."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator

from hocket.chassis.clock import Clock
from services.llm_router.catalog.tiers import Candidate
from services.llm_router.chat.events import CallMade, Ended, EndReason, ModelEvent, TextDelta, Usage, UsageSeen
from services.llm_router.chat.request import Request, ToolCall, tokens_of
from services.llm_router.embedded.answers import Call, deltas_of, respond
from services.llm_router.embedded.image_summary import look
from services.llm_router.errors import FailureKind, ModelFailure


class EmbeddedProvider:
    """Answers in this process, for nothing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def stream(self, request: Request, candidate: Candidate) -> AsyncGenerator[ModelEvent, None]:
        """The answer of the rules; token counts are estimates, since there is no tokenizer."""
        now_s = self._clock.time()
        if "vision" in request.needs:
            # Looking at a picture takes up to a tenth of a second of a thread, and the server has one for all.
            answer = await asyncio.to_thread(respond, request, look, now_s)
        else:
            answer = respond(request, look, now_s)
        if isinstance(answer, Call):
            arguments = json.dumps(answer.arguments, ensure_ascii=False)
            yield CallMade(ToolCall(f"call_{uuid.uuid4().hex[:24]}", answer.name, arguments))
            output, reason = arguments, EndReason.TOOL_CALLS
        else:
            for delta in deltas_of(answer.text):
                yield TextDelta(delta)
            output, reason = answer.text, EndReason.STOP
        usage = Usage(input_tokens=request.prompt_tokens, output_tokens=tokens_of(output))
        yield UsageSeen(usage, candidate.vendor_model)
        yield Ended(reason)

    async def warm(self, request: Request, candidate: Candidate) -> UsageSeen:  # noqa: ARG002 - see below
        """It has no cache."""
        raise ModelFailure(FailureKind.INVALID, "has no cache that a call could fill")

    async def count_tokens(self, candidate: Candidate, text: str) -> int | None:  # noqa: ARG002 - see below
        """Not needed: the usage is told with the words."""
        return None

    async def close(self) -> None:
        """Nothing is held."""
