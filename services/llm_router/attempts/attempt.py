"""One streaming call to one model: read ahead of the caller, bounded by timeouts, with its cost."""

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
from services.llm_router.attempts.output_buffer import OutputBuffer, OutputEvent
from services.llm_router.attempts.timeouts import AttemptTimeouts, FirstTokenTimeout, end_margin_s
from services.llm_router.billing.attempt_cost import AttemptCost, AttemptOutcome, cost_of_attempt
from services.llm_router.billing.usage_meter import UsageMeter
from services.llm_router.catalog.tiers import Candidate, TierTable
from services.llm_router.chat.events import (
    AnswerEnd,
    EndReason,
    HiddenOutput,
    ModelEvent,
    ProviderStateEvent,
    TextDelta,
    ToolCallEvent,
    Usage,
    UsageUpdate,
)
from services.llm_router.chat.request import Request, Tier
from services.llm_router.chat.tool_calls import ToolCallLog
from services.llm_router.errors import FailureKind, ModelFailure
from services.llm_router.ports import Provider

# Interval between journal writes of the running cost; SIGKILL loses at most this much output.
RESERVE_INTERVAL_S = 1.0
# Closing a stream closes a socket; it must not delay a caller that has left.
CLOSE_TIMEOUT_S = 1.0
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AttemptContext:
    """Inputs shared by the attempts of one request.

    `reserve` journals the cost so far: before the vendor is called, and at intervals while it answers.
    """

    request: Request
    tier: Tier
    table: TierTable
    limits: AttemptTimeouts
    clock: Clock
    reserve: Callable[[AttemptCost], None]


class Attempt:
    """One streaming call to one model; the request starts on construction.

    Use `first_output()`, `events()`, `close()`, `count_tokens()`, `cost()`, in this order.
    """

    def __init__(
        self, context: AttemptContext, candidate: Candidate, provider: Provider, event_id: str, wait: FirstTokenTimeout
    ) -> None:
        """Start the call.

        Args:
            context: Request, table, timeouts and ports.
            candidate: The model.
            provider: Its vendor.
            event_id: Id under which the cost is reserved and recorded.
            wait: Timeout of the first output.
        """
        self.candidate = candidate
        self._provider = provider
        self.ended: EndReason | None = None
        self.failure: ModelFailure | None = None
        self.first_output_s: float | None = None
        self._context = context
        self._event_id = event_id
        self._meter = UsageMeter(context.request.prompt_tokens)
        self._calls: ToolCallLog | None = None
        self._next_reserve_at = now = self._now()
        self._cost: AttemptCost | None = None
        self._buffer = OutputBuffer()
        self._arrived = asyncio.Event()
        self._useful = asyncio.Event()
        self._over = False
        limits = context.limits
        self._started = now
        self._last_output_at = now
        self._trace = telemetry.AttemptTrace(
            candidate, context.request.conversation_id, context.request.max_output_tokens
        )
        left_s = deadline.remaining()
        self._total_kind = FailureKind.TIMEOUT
        self._whole_until = now + limits.total_s
        if left_s is not None and left_s - end_margin_s(left_s) < limits.total_s:
            self._whole_until, self._total_kind = now + left_s - end_margin_s(left_s), FailureKind.CALLER_DEADLINE
        self._first_until = now + wait.seconds
        self._first_kind = FailureKind.CALLER_DEADLINE if wait.caller_limited else FailureKind.TIMEOUT
        # True also after fragments of a tool call.
        self._has_spoken = False
        self._ending = False
        # A task of its own: a cancellation reaches the read from the vendor, wherever the caller waits.
        self._task = asyncio.create_task(self._pump(), name=f"attempt {candidate.alias}")

    async def _pump(self) -> None:
        try:
            # Reserve before the call: a process killed before the first output leaves a journal entry.
            self._context.reserve(self._cost_now(AttemptOutcome.FAILED))
            async with (
                asyncio.timeout_at(self._whole_until),
                aclosing(self._provider.stream(self._context.request, self.candidate)) as stream,
            ):
                async for event in stream:
                    self._handle(event)
                    await self._buffer.wait_for_space()
            self._check_end()
        except ModelFailure as failure:
            self.failure = failure
        except TimeoutError:
            self.failure = ModelFailure(self._total_timeout_kind(), "the answer did not end in time")
        except Exception as error:  # noqa: BLE001 - unhandled, an SDK error would look like an empty answer
            # An error of the router, not of the vendor; the next candidate may work.
            self.failure = ModelFailure(FailureKind.INTERNAL, f"its adapter raised {type(error).__name__}")
            # Log the place only: the message of an unexpected error may contain user content.
            _log.error("adapter raised", model=self.candidate.alias, at=_place(error))
        finally:
            self._over = True
            self._useful.set()
            self._arrived.set()

    def _handle(self, event: ModelEvent) -> None:
        match event:
            case UsageUpdate():
                self._meter.report(event)
                self._reserve_progress()
            case AnswerEnd():
                self.ended = event.reason
            case HiddenOutput():
                self._meter.add_output(event.text)
                if event.of_call:
                    # A long tool call may take longer than the first-token timeout; its fragments show progress.
                    self._has_spoken, self._first_kind = True, FailureKind.TIMEOUT
                    self._first_until = max(self._first_until, self._now() + self._context.limits.between_tokens_s)
                self._arrived.set()
                self._reserve_progress()
            case TextDelta():
                self._meter.add_output(event.text)
                self._forward(event)
            case ToolCallEvent():
                # Its fragments arrived before as HiddenOutput.
                self._forward(self._tool_calls.accept(event))
            case ProviderStateEvent():
                self._forward(self._tool_calls.accept_state(event))

    @property
    def _tool_calls(self) -> ToolCallLog:
        if self._calls is None:
            self._calls = ToolCallLog.of(self._context.request)
        return self._calls

    def _forward(self, event: OutputEvent) -> None:
        self._buffer.add(event)
        self._arrived.set()
        if not isinstance(event, ProviderStateEvent):
            self._output_arrived()

    def _output_arrived(self) -> None:
        before, self._last_output_at, self._has_spoken = self._last_output_at, self._now(), True
        if self.first_output_s is None:
            self.first_output_s = self._last_output_at - self._started
            self._trace.first_chunk(self.first_output_s)
            self._useful.set()
        else:
            self._trace.next_chunk(self._last_output_at - before)
        self._reserve_progress()

    def _reserve_progress(self) -> None:
        """Journal the cost so far, at most once per interval."""
        now = self._now()
        if now >= self._next_reserve_at and self._cost is None:
            self._next_reserve_at = now + RESERVE_INTERVAL_S
            self._context.reserve(self._cost_now(AttemptOutcome.FAILED))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _check_end(self) -> None:
        if self.ended is None:
            raise ModelFailure(FailureKind.CUT, "the stream stopped without its end event")
        if self.first_output_s is None:
            if self.ended is EndReason.REFUSAL:
                raise ModelFailure(FailureKind.REFUSED, "the model declined")
            raise ModelFailure(FailureKind.EMPTY, f"the model ended ({self.ended.value}) without output")

    async def has_output_within(self, seconds: float) -> bool:
        """Wait at most `seconds`; False when the first output is still pending."""
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
        """Usage as reported by the vendor."""
        return self._meter.usage

    @property
    def running(self) -> bool:
        """True while the vendor call runs."""
        return not self._task.done()

    async def first_output(self) -> None:
        """Wait for the first text or tool call. Raises ModelFailure when it does not come in time."""
        while not self._useful.is_set():
            until = min(self._first_until, self._whole_until)
            try:
                async with asyncio.timeout_at(until):
                    await self._useful.wait()
            except TimeoutError:
                if until == min(self._first_until, self._whole_until):
                    kind = self._first_kind if self._first_until <= self._whole_until else self._total_timeout_kind()
                    raise self._fail(kind, "no first token in time") from None
        if self.failure is not None and self.first_output_s is None:
            raise self.failure

    async def events(self) -> AsyncGenerator[OutputEvent, None]:
        """Yield output; text deltas that arrive while the caller is busy are merged.

        Raises:
            ModelFailure: The model is too slow, the vendor failed, or the stream stopped without its end event.
        """
        while True:
            while self._buffer:
                yield self._buffer.take()
            if self._over:
                break
            self._arrived.clear()
            until = self._now() + self._context.limits.between_tokens_s
            try:
                async with asyncio.timeout_at(min(until, self._whole_until)):
                    await self._arrived.wait()
            except TimeoutError:
                kind = FailureKind.TIMEOUT if until <= self._whole_until else self._total_kind
                raise self._fail(kind, "no next token in time") from None
        if self.failure is not None:
            raise self.failure

    def _total_timeout_kind(self) -> FailureKind:
        """Classify an overall timeout as the caller's (slow reader, short deadline) or the model's."""
        if self._buffer.full:
            return FailureKind.CALLER_DEADLINE
        return self._total_kind if self._has_spoken else self._first_kind

    def _fail(self, kind: FailureKind, problem: str) -> ModelFailure:
        self.failure = ModelFailure(kind, problem)
        return self.failure

    def cancel(self) -> None:
        """Cancel the vendor call without waiting.

        Cancels once: a second cancellation would interrupt the closing of the stream that the first one started.
        """
        if not self._ending:
            self._ending = True
            self._task.cancel()

    async def close(self) -> None:
        """Cancel the vendor call if it still runs; afterwards the cost is final."""
        if self.running:
            self.cancel()
            await asyncio.wait([self._task], timeout=CLOSE_TIMEOUT_S)

    @property
    def has_unreported_output(self) -> bool:
        """True when the vendor sent output without counting its tokens."""
        return self._meter.has_unreported_output

    async def count_tokens(self) -> None:
        """Ask the vendor to count output that it has not reported; without an answer it is estimated."""
        if self._meter.has_unreported_output:
            self._meter.set_counted(await self._provider.count_tokens(self.candidate, self._meter.unreported_text))

    def cost(self) -> AttemptCost:
        """Return the cost: the vendor's usage, or an estimate where it reported none. Final after `close`."""
        if self._cost is None:
            ended = AttemptOutcome.CANCELLED if self.ended is None else AttemptOutcome.OK
            self._cost = self._cost_now(AttemptOutcome.FAILED if self.failure is not None else ended)
        return self._cost

    def record_telemetry(self, tenant_tier: str) -> None:
        """End the span and count the attempt; once, after `close`."""
        self._trace.end(
            self.cost(),
            ended=self.ended.value if self.ended else "",
            failure=self.failure.kind.value if self.failure else "",
            seconds=self._now() - self._started,
            tenant_tier=tenant_tier,
        )

    def _cost_now(self, outcome: AttemptOutcome) -> AttemptCost:
        usage, estimated = self._meter.total()
        context = self._context
        return cost_of_attempt(
            context.table,
            context.request,
            self.candidate,
            UsageUpdate(usage, self._meter.served_model),
            event_id=self._event_id,
            tier=context.tier,
            now_s=context.clock.time(),
            outcome=outcome,
            estimated=estimated,
            unconfirmed=self._unconfirmed,
        )

    @property
    def _unconfirmed(self) -> bool:
        """True when the request was sent and the vendor neither accepted nor refused it."""
        refused = self.failure is not None and not self.failure.may_be_billed
        return not (refused or self.ended) and self._meter.vendor_silent


def _place(error: Exception) -> str:
    """Return the type of an error and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} in {frames[-1].name} ({Path(frames[-1].filename).name}:{frames[-1].lineno})"
