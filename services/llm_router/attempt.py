"""One attempt at one model: read ahead of the caller, bounded in time, and what it costs however it ends."""

from __future__ import annotations

import asyncio
import traceback
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from chassis.clock import Clock
from services.llm_router import telemetry
from services.llm_router.conversation import CHARACTERS_PER_TOKEN, Request, Tier
from services.llm_router.errors import UNHEARD, FailureKind, ModelFailure
from services.llm_router.events import (
    CallMade,
    Ended,
    EndReason,
    ModelEvent,
    StateGiven,
    TextDelta,
    Unheard,
    Usage,
    UsageSeen,
)
from services.llm_router.ports import AttemptCost, AttemptOutcome, Provider
from services.llm_router.reckoning import reckon
from services.llm_router.tiers import Candidate, TierTable

# What a killed process may lose of the output that it was being sent.
BEGUN_AGAIN_S = 1.0
# Closing a vendor's stream is the closing of a socket; it must not hold a caller who has left.
CLOSE_S = 1.0
# With fewer deltas waiting than this each is passed on alone; with n times as many, n + 1 go together.
BACKLOG_PER_MERGE = 8
Said = TextDelta | CallMade | StateGiven
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FirstTokenWait:
    """Seconds for a first token; `hurried` when it is the caller who has no more, which says nothing of the model."""

    seconds: float
    hurried: bool = False


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

    def first_token_of(self, attempt: int, *, left_s: float | None, last: bool) -> FirstTokenWait:
        """How long attempt number `attempt` (from 1) is waited for.

        While somebody else could still be asked, an attempt takes no more than half of the caller's remaining time.
        """
        wanted = self.first_token_s if attempt == 1 else self.fallback_first_token_s
        if left_s is None:
            return FirstTokenWait(wanted)
        given = left_s if last else left_s / 2
        return FirstTokenWait(min(wanted, given), hurried=given < wanted)


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
    """Starts when made. Await `first_useful`, iterate `events`, then `close` and `count`; `cost` tells what to book."""

    def __init__(
        self, scene: AttemptScene, candidate: Candidate, provider: Provider, event_id: str, wait: FirstTokenWait
    ) -> None:
        """Begin to ask `candidate`, which must say something useful within `wait`."""
        self.candidate = candidate
        self._provider = provider
        self.usage = Usage()
        self.ended: EndReason | None = None
        self.failure: ModelFailure | None = None
        self.first_useful_s: float | None = None
        self._scene = scene
        self._event_id = event_id
        self._served = ""
        # What was said since the vendor last told the usage.
        self._untold: list[str] = []
        self._untold_tokens: int | None = None
        self._begun_until = now = self._now()
        self._cost: AttemptCost | None = None
        self._queue: deque[Said] = deque()
        self._arrived = asyncio.Event()
        self._useful = asyncio.Event()
        self._over = False
        limits = scene.limits
        self._started = now
        self._said_at = now
        self._trace = telemetry.AttemptTrace(candidate, scene.request.conversation_id, scene.request.max_output_tokens)
        self._whole_until = now + limits.total_s
        self._first_until = now + wait.seconds
        self._late = FailureKind.HURRIED if wait.hurried else FailureKind.TIMEOUT
        # In a task of its own: a cancellation then always meets the read from the vendor, wherever the caller stands.
        self._task = asyncio.create_task(self._pump(), name=f"attempt {candidate.alias}")

    async def _pump(self) -> None:
        # Before the vendor is asked: a process killed while it waits for the first word leaves a trace.
        self._scene.begun(self._reckon(AttemptOutcome.FAILED))
        try:
            async with aclosing(self._provider.stream(self._scene.request, self.candidate)) as stream:
                async for event in stream:
                    self._take(event)
            self._check_end()
        except ModelFailure as failure:
            self.failure = failure
        except Exception as error:  # noqa: BLE001 - whatever an SDK raises: unhandled, it would end as an empty answer
            self.failure = ModelFailure(FailureKind.UNAVAILABLE, f"its adapter broke ({type(error).__name__})")
            # The place alone: the words of an unforeseen error may be those of a user.
            _log.error("adapter broke", model=self.candidate.alias, at=_place(error))
        finally:
            self._over = True
            self._useful.set()
            self._arrived.set()

    def _take(self, event: ModelEvent) -> None:
        match event:
            case UsageSeen():
                self.usage, self._served = event.usage, event.served_model or self._served
                self._untold.clear()
                self._write_down()
            case Ended():
                self.ended = event.reason
            case Unheard():
                self._untold.append(event.text)
                if event.of_call:
                    # A long call takes longer than a first token may, and is no dead air.
                    self._first_until = max(self._first_until, self._now() + self._scene.limits.between_tokens_s)
                self._arrived.set()
                self._write_down()
            case _:
                if isinstance(event, TextDelta):
                    # Of a call the pieces came before, unheard.
                    self._untold.append(event.text)
                self._queue.append(event)
                self._arrived.set()
                if not isinstance(event, StateGiven):
                    self._said()

    def _said(self) -> None:
        before, self._said_at = self._said_at, self._now()
        if self.first_useful_s is None:
            self.first_useful_s = self._said_at - self._started
            self._trace.first_chunk(self.first_useful_s)
            self._useful.set()
        else:
            self._trace.next_chunk(self._said_at - before)
        self._write_down()

    def _write_down(self) -> None:
        """Tell what the attempt costs so far: at once and then once a second, for the process after a crash."""
        now = self._now()
        if now >= self._begun_until:
            self._begun_until = now + BEGUN_AGAIN_S
            self._scene.begun(self._reckon(AttemptOutcome.FAILED))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _check_end(self) -> None:
        if self.ended is None:
            raise ModelFailure(FailureKind.CUT, "the stream stopped without its end event")
        if self.first_useful_s is None:
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
        while not self._useful.is_set():
            until = min(self._first_until, self._whole_until)
            try:
                async with asyncio.timeout_at(until):
                    await self._useful.wait()
            except TimeoutError:
                if until == min(self._first_until, self._whole_until):
                    raise self._fail(self._late, "no first token in time") from None
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
            until = self._now() + self._scene.limits.between_tokens_s
            try:
                async with asyncio.timeout_at(min(until, self._whole_until)):
                    await self._arrived.wait()
            except TimeoutError:
                raise self._fail(FailureKind.TIMEOUT, "no next token in time") from None
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

    def _fail(self, kind: FailureKind, problem: str) -> ModelFailure:
        self.failure = ModelFailure(kind, problem)
        return self.failure

    async def close(self) -> None:
        """End the vendor's work if it still runs; afterwards the cost is final."""
        if self.running:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=CLOSE_S)

    async def count(self) -> None:
        """Have the vendor count what it said and did not tell the tokens of; without its answer they are estimated."""
        if self.ended is None and self._untold:
            self._untold_tokens = await self._provider.count_tokens(self.candidate, "".join(self._untold))

    def cost(self) -> AttemptCost:
        """What to book: usage as the vendor told it, or an estimate of what was sent where it told nothing yet."""
        if self._cost is None:
            ended = AttemptOutcome.CANCELLED if self.ended is None else AttemptOutcome.OK
            self._cost = self._reckon(AttemptOutcome.FAILED if self.failure is not None else ended)
        return self._cost

    def tell(self, tenant_tier: str) -> None:
        """Close the attempt's span and count it; once, after `close`."""
        self._trace.end(
            self.cost(),
            ended=self.ended.value if self.ended else "",
            failure=self.failure.kind.value if self.failure else "",
            seconds=self._now() - self._started,
            tenant_tier=tenant_tier,
        )

    def _reckon(self, outcome: AttemptOutcome) -> AttemptCost:
        usage, estimated = self._known_usage()
        scene = self._scene
        return reckon(
            scene.table,
            scene.request,
            self.candidate,
            UsageSeen(usage, self._served),
            event_id=self._event_id,
            tier=scene.tier,
            now_s=scene.clock.time(),
            outcome=outcome,
            estimated=estimated,
            unconfirmed=self._unconfirmed,
        )

    @property
    def _unconfirmed(self) -> bool:
        """Whether the vendor was asked and said neither that it took the request nor that it refused it."""
        refused = self.failure is not None and self.failure.kind not in UNHEARD
        return not (refused or self.ended or self.usage.prompt_tokens or self._untold)

    def _known_usage(self) -> tuple[Usage, bool]:
        """Usage, and whether part of it is no word of the vendor's: some tell the output's tokens at the end alone.

        And some servers tell nothing: an answer was not for nothing because nobody counted it.
        """
        told_to_the_end = self.ended is not None and self.usage.prompt_tokens > 0
        if told_to_the_end or not self._untold:
            return self.usage, False
        known = self.usage if self.usage.prompt_tokens else Usage(input_tokens=self._scene.request.prompt_tokens)
        untold = self._untold_tokens
        if untold is None:
            untold = int(sum(map(len, self._untold)) / CHARACTERS_PER_TOKEN + 0.5)
        return replace(known, output_tokens=known.output_tokens + untold), True


def _place(error: Exception) -> str:
    """Type of an error and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} in {frames[-1].name} ({Path(frames[-1].filename).name}:{frames[-1].lineno})"
