"""One attempt at one model: read ahead of the caller, bounded in time, and what it costs however it ends."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from chassis.clock import Clock
from services.llm_router import telemetry
from services.llm_router.conversation import CHARACTERS_PER_TOKEN, Request, Tier
from services.llm_router.errors import FailureKind, ModelFailure
from services.llm_router.events import CallMade, Ended, EndReason, ModelEvent, StateGiven, TextDelta, Usage, UsageSeen
from services.llm_router.ports import AttemptCost, AttemptOutcome, Provider
from services.llm_router.pricing import cost_micro_usd
from services.llm_router.tiers import Candidate, TierTable

# Closing a vendor's stream is the closing of a socket; it must not hold a caller who has left.
CLOSE_S = 1.0
# With fewer deltas waiting than this each is passed on alone; with n times as many, n + 1 go together.
BACKLOG_PER_MERGE = 8
Said = TextDelta | CallMade | StateGiven


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

    def first_token_of(self, attempt: int, *, left_s: float | None, last: bool) -> float:
        """Seconds that attempt number `attempt` (from 1) has for its first token.

        While somebody else could still be asked, an attempt takes no more than half of the caller's remaining time.
        """
        wanted = self.first_token_s if attempt == 1 else self.fallback_first_token_s
        if left_s is None:
            return wanted
        return min(wanted, left_s if last else left_s / 2)


@dataclass(frozen=True, slots=True)
class AttemptScene:
    """What attempts of one request share; `begun` is told of a cost as soon as the vendor names it."""

    request: Request
    tier: Tier
    table: TierTable
    limits: AttemptLimits
    clock: Clock
    begun: Callable[[AttemptCost], None]


class Attempt:
    """Starts when made. Await `first_useful`, then iterate `events`, then `close`; `cost` tells what to book."""

    def __init__(
        self, scene: AttemptScene, candidate: Candidate, provider: Provider, event_id: str, *, first_token_s: float
    ) -> None:
        """Begin to ask `candidate`, which must say something useful within `first_token_s` seconds."""
        self.candidate = candidate
        self.usage = Usage()
        self.ended: EndReason | None = None
        self.failure: ModelFailure | None = None
        self.first_useful_s: float | None = None
        self._scene = scene
        self._event_id = event_id
        self._served = ""
        self._said_characters = 0
        self._cost: AttemptCost | None = None
        self._queue: deque[Said] = deque()
        self._arrived = asyncio.Event()
        self._useful = asyncio.Event()
        self._over = False
        limits, now = scene.limits, asyncio.get_running_loop().time()
        self._started = now
        self._span = telemetry.begin_attempt(candidate, scene.request.conversation_id, scene.request.max_output_tokens)
        self._whole_until = now + limits.total_s
        self._first_until = min(now + first_token_s, self._whole_until)
        # In a task of its own: a cancellation then always meets the read from the vendor, wherever the caller stands.
        self._task = asyncio.create_task(self._pump(provider), name=f"attempt {candidate.alias}")

    async def _pump(self, provider: Provider) -> None:
        try:
            async with aclosing(provider.stream(self._scene.request, self.candidate)) as stream:
                async for event in stream:
                    self._take(event)
            self._check_end()
        except ModelFailure as failure:
            self.failure = failure
        finally:
            self._over = True
            self._useful.set()
            self._arrived.set()

    def _take(self, event: ModelEvent) -> None:
        match event:
            case UsageSeen():
                first = self.usage == Usage()
                self.usage, self._served = event.usage, event.served_model or self._served
                if first:
                    self._scene.begun(self._reckon(AttemptOutcome.FAILED))
            case Ended():
                self.ended = event.reason
            case _:
                self._queue.append(event)
                self._arrived.set()
                if not isinstance(event, StateGiven):
                    self._said(event)

    def _said(self, event: TextDelta | CallMade) -> None:
        self._said_characters += len(event.text if isinstance(event, TextDelta) else event.call.arguments_json) or 1
        if self.first_useful_s is None:
            self.first_useful_s = asyncio.get_running_loop().time() - self._started
            self._useful.set()

    def _check_end(self) -> None:
        if self.ended is None:
            raise ModelFailure(FailureKind.CUT, "the stream stopped without its end event")
        if not self._said_characters:
            if self.ended is EndReason.REFUSAL:
                raise ModelFailure(FailureKind.REFUSED, "the model declined")
            raise ModelFailure(FailureKind.EMPTY, f"the model ended ({self.ended.value}) without a word")

    async def heard(self, seconds: float) -> bool:
        """Wait at most `seconds`; False when `first_useful` would go on waiting."""
        until = asyncio.get_running_loop().time() + seconds
        if until < self._first_until:
            try:
                async with asyncio.timeout_at(until):
                    await self._useful.wait()
            except TimeoutError:
                return False
        return True

    @property
    def running(self) -> bool:
        """Whether the vendor still works."""
        return not self._task.done()

    async def first_useful(self) -> None:
        """Wait for text or a tool call. Raises ModelFailure when none comes, or none in time."""
        try:
            async with asyncio.timeout_at(self._first_until):
                await self._useful.wait()
        except TimeoutError:
            raise self._fail("no first token in time") from None
        if self.failure is not None and self.first_useful_s is None:
            raise self.failure

    async def events(self) -> AsyncGenerator[Said, None]:
        """What the model says and calls; deltas that came while the caller was busy go together.

        Raises ModelFailure, also for a stream that stops without its end event.
        """
        while True:
            while self._queue:
                yield self._next()
            if self._over:
                break
            self._arrived.clear()
            until = asyncio.get_running_loop().time() + self._scene.limits.between_tokens_s
            try:
                async with asyncio.timeout_at(min(until, self._whole_until)):
                    await self._arrived.wait()
            except TimeoutError:
                raise self._fail("no next token in time") from None
        if self.failure is not None:
            raise self.failure

    def _next(self) -> Said:
        """The next event; several deltas as one, the more of them the longer the backlog, never waiting for any."""
        event = self._queue.popleft()
        if not isinstance(event, TextDelta):
            return event
        pieces = [event.text]
        for _ in range(len(self._queue) // BACKLOG_PER_MERGE):
            following = self._queue[0]
            if not isinstance(following, TextDelta):
                break
            pieces.append(following.text)
            self._queue.popleft()
        return TextDelta("".join(pieces)) if len(pieces) > 1 else event

    def _fail(self, problem: str) -> ModelFailure:
        self.failure = ModelFailure(FailureKind.TIMEOUT, problem)
        return self.failure

    async def close(self) -> None:
        """End the vendor's work if it still runs; afterwards the cost is final."""
        if self.running:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=CLOSE_S)

    def cost(self) -> AttemptCost:
        """What to book: usage as the vendor told it, or an estimate of what was sent where it told nothing yet."""
        if self._cost is None:
            ended = AttemptOutcome.CANCELLED if self.ended is None else AttemptOutcome.OK
            self._cost = self._reckon(AttemptOutcome.FAILED if self.failure is not None else ended)
        return self._cost

    def tell(self, tenant_tier: str) -> None:
        """Close the attempt's span and count it; once, after `close`."""
        telemetry.end_attempt(
            self._span,
            self.cost(),
            ended=self.ended.value if self.ended else "",
            failure=self.failure.kind.value if self.failure else "",
            seconds=asyncio.get_running_loop().time() - self._started,
            first_s=self.first_useful_s,
            tenant_tier=tenant_tier,
        )

    def _reckon(self, outcome: AttemptOutcome) -> AttemptCost:
        usage, estimated = self._known_usage()
        scene = self._scene
        served = scene.table.served_as(self.candidate.provider, self._served) or self.candidate
        price = served.price(scene.clock.time(), usage.prompt_tokens)
        return AttemptCost(
            event_id=self._event_id,
            ended_at_s=scene.clock.time(),
            provider=self.candidate.provider,
            model=self._served or self.candidate.vendor_model or self.candidate.alias,
            tier=scene.tier,
            usage=usage,
            cost_micro_usd=cost_micro_usd(usage, price),
            price_row=price.name,
            outcome=outcome,
            speculative=scene.request.speculative,
            room=scene.request.room,
            turn_id=scene.request.turn_id,
            estimated=estimated,
        )

    def _known_usage(self) -> tuple[Usage, bool]:
        """Usage, and whether part of it is an estimate: a vendor tells the output's tokens at the end alone."""
        said = int(self._said_characters / CHARACTERS_PER_TOKEN + 0.5)
        if self.ended is not None or self.usage.output_tokens >= said:
            return self.usage, False
        known = self.usage if self.usage.prompt_tokens else Usage(input_tokens=self._scene.request.prompt_tokens)
        return replace(known, output_tokens=said), True
