"""One attempt at one model: read ahead of the caller, bounded in time, and what it costs however it ends."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import structlog

from hocket.chassis import deadline
from hocket.chassis.clock import Clock
from services.llm_router import telemetry
from services.llm_router.attempts.output_buffer import Backlog, Said
from services.llm_router.attempts.timeouts import AttemptLimits, FirstTokenWait, ending_s
from services.llm_router.billing.attempt_cost import AttemptCost, AttemptOutcome, reckon
from services.llm_router.billing.usage_meter import Meter
from services.llm_router.catalog.tiers import Candidate, TierTable
from services.llm_router.chat.events import (
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
from services.llm_router.chat.request import Request, Tier
from services.llm_router.chat.tool_calls import CallBook
from services.llm_router.errors import FailureKind, ModelFailure
from services.llm_router.ports import Provider

# What a killed process may lose of the output that it was being sent.
BEGUN_AGAIN_S = 1.0
# Closing a vendor's stream is the closing of a socket; it must not hold a caller who has left.
CLOSE_S = 1.0
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AttemptScene:
    """What attempts of one request share; `begun` is told what each costs so far, from before its vendor is asked."""

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
        self.ended: EndReason | None = None
        self.failure: ModelFailure | None = None
        self.first_useful_s: float | None = None
        self._scene = scene
        self._event_id = event_id
        self._meter = Meter(scene.request.prompt_tokens)
        self._calls: CallBook | None = None
        self._begun_until = now = self._now()
        self._cost: AttemptCost | None = None
        self._backlog = Backlog()
        self._arrived = asyncio.Event()
        self._useful = asyncio.Event()
        self._over = False
        limits = scene.limits
        self._started = now
        self._said_at = now
        self._trace = telemetry.AttemptTrace(candidate, scene.request.conversation_id, scene.request.max_output_tokens)
        left_s = deadline.remaining()
        self._late_end = FailureKind.TIMEOUT
        self._whole_until = now + limits.total_s
        if left_s is not None and left_s - ending_s(left_s) < limits.total_s:
            self._whole_until, self._late_end = now + left_s - ending_s(left_s), FailureKind.HURRIED
        self._first_until = now + wait.seconds
        self._late = FailureKind.HURRIED if wait.hurried else FailureKind.TIMEOUT
        # Also a call of which only pieces have come.
        self._speaks = False
        self._ending = False
        # In a task of its own: a cancellation then always meets the read from the vendor, wherever the caller stands.
        self._task = asyncio.create_task(self._pump(), name=f"attempt {candidate.alias}")

    async def _pump(self) -> None:
        try:
            # Before the vendor is asked: a process killed while it waits for the first word leaves a trace.
            self._scene.begun(self._reckon(AttemptOutcome.FAILED))
            async with (
                asyncio.timeout_at(self._whole_until),
                aclosing(self._provider.stream(self._scene.request, self.candidate)) as stream,
            ):
                async for event in stream:
                    self._take(event)
                    await self._backlog.room()
            self._check_end()
        except ModelFailure as failure:
            self.failure = failure
        except TimeoutError:
            self.failure = ModelFailure(self._kind_at_the_end(), "no end in time")
        except Exception as error:  # noqa: BLE001 - whatever an SDK raises: unhandled, it would end as an empty answer
            # Nothing that the next model would not do as well, and nothing that the vendor has done.
            self.failure = ModelFailure(FailureKind.INTERNAL, f"its adapter broke ({type(error).__name__})")
            # The place alone: the words of an unforeseen error may be those of a user.
            _log.error("adapter broke", model=self.candidate.alias, at=_place(error))
        finally:
            self._over = True
            self._useful.set()
            self._arrived.set()

    def _take(self, event: ModelEvent) -> None:
        match event:
            case UsageSeen():
                self._meter.told(event)
                self._write_down()
            case Ended():
                self.ended = event.reason
            case Unheard():
                self._meter.said(event.text)
                if event.of_call:
                    # A long call takes longer than a first token may, and is no dead air.
                    self._speaks, self._late = True, FailureKind.TIMEOUT
                    self._first_until = max(self._first_until, self._now() + self._scene.limits.between_tokens_s)
                self._arrived.set()
                self._write_down()
            case TextDelta():
                self._meter.said(event.text)
                self._pass_on(event)
            case CallMade():
                # Its pieces came before, unheard.
                self._pass_on(self._call_book.made(event))
            case StateGiven():
                self._pass_on(self._call_book.given(event))

    @property
    def _call_book(self) -> CallBook:
        if self._calls is None:
            self._calls = CallBook.of(self._scene.request)
        return self._calls

    def _pass_on(self, event: Said) -> None:
        self._backlog.add(event)
        self._arrived.set()
        if not isinstance(event, StateGiven):
            self._said()

    def _said(self) -> None:
        before, self._said_at, self._speaks = self._said_at, self._now(), True
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
        if now >= self._begun_until and self._cost is None:
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
    def usage(self) -> Usage:
        """What the vendor has told of it."""
        return self._meter.usage

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
                    kind = self._late if self._first_until <= self._whole_until else self._kind_at_the_end()
                    raise self._fail(kind, "no first token in time") from None
        if self.failure is not None and self.first_useful_s is None:
            raise self.failure

    async def events(self) -> AsyncGenerator[Said, None]:
        """What the model says and calls; deltas that came while the caller was busy go together.

        Raises ModelFailure, also for a stream that stops without its end event.
        """
        while True:
            while self._backlog:
                yield self._backlog.take()
            if self._over:
                break
            self._arrived.clear()
            until = self._now() + self._scene.limits.between_tokens_s
            try:
                async with asyncio.timeout_at(min(until, self._whole_until)):
                    await self._arrived.wait()
            except TimeoutError:
                kind = FailureKind.TIMEOUT if until <= self._whole_until else self._late_end
                raise self._fail(kind, "no next token in time") from None
        if self.failure is not None:
            raise self.failure

    def _kind_at_the_end(self) -> FailureKind:
        """Whose fault it is that the time is over: a caller's who read too slowly or gave a speaking model no more."""
        if self._backlog.full:
            return FailureKind.HURRIED
        return self._late_end if self._speaks else self._late

    def _fail(self, kind: FailureKind, problem: str) -> ModelFailure:
        self.failure = ModelFailure(kind, problem)
        return self.failure

    def end(self) -> None:
        """Have the vendor's work end; without a wait, so that nothing can come between.

        Once alone: a second cancellation would break off the closing of the stream, which the first one began.
        """
        if not self._ending:
            self._ending = True
            self._task.cancel()

    async def close(self) -> None:
        """End the vendor's work if it still runs; afterwards the cost is final."""
        if self.running:
            self.end()
            await asyncio.wait([self._task], timeout=CLOSE_S)

    @property
    def uncounted(self) -> bool:
        """Whether the vendor said something and not how many tokens it was."""
        return self._meter.uncounted

    async def count(self) -> None:
        """Have the vendor count what it said and did not tell the tokens of; without its answer they are estimated."""
        if self._meter.uncounted:
            self._meter.counted(await self._provider.count_tokens(self.candidate, self._meter.untold))

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
        usage, estimated = self._meter.known()
        scene = self._scene
        return reckon(
            scene.table,
            scene.request,
            self.candidate,
            UsageSeen(usage, self._meter.served_model),
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
        refused = self.failure is not None and not self.failure.unheard
        return not (refused or self.ended) and self._meter.silent


def _place(error: Exception) -> str:
    """Type of an error and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} in {frames[-1].name} ({Path(frames[-1].filename).name}:{frames[-1].lineno})"
