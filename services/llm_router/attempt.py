"""One attempt at one model: its deadlines, what it has used so far, and what that costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from chassis.clock import Clock
from services.llm_router.conversation import Request, Tier, prompt_tokens, tokens_of
from services.llm_router.errors import FailureKind, ModelFailure
from services.llm_router.events import (
    CallMade,
    Ended,
    EndReason,
    ModelEvent,
    StateGiven,
    TextDelta,
    Usage,
    UsageSeen,
)
from services.llm_router.ports import AttemptCost, AttemptOutcome, Provider
from services.llm_router.pricing import cost_micro_usd
from services.llm_router.tiers import Candidate, TierTable


@dataclass(frozen=True, slots=True)
class AttemptLimits:
    """How long an attempt may take, in seconds.

    `first_token_s` bounds the time to the first *useful* event (text or a tool call), so that keep-alives and thinking
    do not hide dead air; `fallback_first_token_s` is the same for attempts after the first, whose model is cold.
    """

    first_token_s: float = 3.0
    fallback_first_token_s: float = 5.0
    between_tokens_s: float = 5.0
    total_s: float = 120.0


class Attempt:
    """Runs once. After its events are over, closed or broken, `cost` tells what to book."""

    def __init__(
        self,
        request: Request,
        candidate: Candidate,
        tier: Tier,
        provider: Provider,
        table: TierTable,
        limits: AttemptLimits,
        clock: Clock,
        event_id: str,
    ) -> None:
        self.candidate = candidate
        self.usage = Usage()
        self.ended: EndReason | None = None
        self._request = request
        self._tier = tier
        self._provider = provider
        self._table = table
        self._limits = limits
        self._clock = clock
        self._event_id = event_id
        self._served = ""
        self._said_characters = 0
        self._failure: ModelFailure | None = None

    async def events(self) -> AsyncGenerator[TextDelta | CallMade | StateGiven, None]:
        """What the model says and calls. Raises ModelFailure, also for a stream that ends without its end event."""
        try:
            async with aclosing(self._provider.stream(self._request, self.candidate)) as stream:
                async for event in self._timed(stream):
                    match event:
                        case UsageSeen():
                            self.usage, self._served = event.usage, event.served_model or self._served
                        case Ended():
                            self.ended = event.reason
                        case _:
                            yield event
            self._check_end()
        except ModelFailure as failure:
            self._failure = failure
            raise

    async def _timed(self, stream: AsyncGenerator[ModelEvent, None]) -> AsyncGenerator[ModelEvent, None]:
        started = asyncio.get_running_loop().time()
        whole = started + self._limits.total_s
        until, what = started + self._limits.first_token_s, "first token"
        while True:
            try:
                async with asyncio.timeout_at(min(until, whole)):
                    event = await anext(stream)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise ModelFailure(FailureKind.TIMEOUT, f"no {what} in time") from None
            if isinstance(event, TextDelta | CallMade):
                self._said_characters += len(event.text if isinstance(event, TextDelta) else event.call.arguments_json)
                until, what = asyncio.get_running_loop().time() + self._limits.between_tokens_s, "next token"
            yield event

    def _check_end(self) -> None:
        if self.ended is None:
            raise ModelFailure(FailureKind.CUT, "the stream stopped without its end event")
        if self.ended is EndReason.REFUSAL and not self._said_characters:
            raise ModelFailure(FailureKind.REFUSED, "the model declined")
        if not self._said_characters:
            raise ModelFailure(FailureKind.EMPTY, f"the model ended ({self.ended.value}) without a word")

    def cost(self) -> AttemptCost:
        """What to book: usage as the vendor told it, or an estimate of what was sent where it told nothing yet."""
        outcome = AttemptOutcome.FAILED if self._failure else AttemptOutcome.OK
        if self._failure is None and self.ended is None:
            outcome = AttemptOutcome.CANCELLED
        usage, estimated = self._known_usage()
        served = self._table.served_as(self.candidate.provider, self._served) or self.candidate
        price = served.price(self._clock.time(), usage.prompt_tokens)
        return AttemptCost(
            event_id=self._event_id,
            ended_at_s=self._clock.time(),
            provider=self.candidate.provider,
            model=self._served or self.candidate.vendor_model or self.candidate.alias,
            tier=self._tier,
            usage=usage,
            cost_micro_usd=cost_micro_usd(usage, price),
            price_row=price.name,
            outcome=outcome,
            speculative=self._request.speculative,
            room=self._request.room,
            turn_id=self._request.turn_id,
            estimated=estimated,
        )

    def _known_usage(self) -> tuple[Usage, bool]:
        said = tokens_of("x" * self._said_characters)
        if self.ended is not None or self.usage.output_tokens >= said:
            return self.usage, False
        known = self.usage if self.usage.prompt_tokens else Usage(input_tokens=prompt_tokens(self._request))
        return Usage(
            input_tokens=known.input_tokens,
            cached_input_tokens=known.cached_input_tokens,
            cache_write_5m_tokens=known.cache_write_5m_tokens,
            cache_write_1h_tokens=known.cache_write_1h_tokens,
            output_tokens=said,
            thinking_tokens=known.thinking_tokens,
        ), True
