"""One streaming call to one model: read ahead of the caller, bounded by timeouts, with its cost."""

from __future__ import annotations

import asyncio
import math
import traceback
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import cached_property
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
    timeouts: AttemptTimeouts
    clock: Clock
    reserve: Callable[[AttemptCost], None]


class Attempt:
    """One streaming call to one model; the request starts on construction.

    Use `first_output()`, `events()`, `close()`, `count_tokens()`, `cost()`, in this order.
    """

    def __init__(
        self,
        context: AttemptContext,
        candidate: Candidate,
        provider: Provider,
        event_id: str,
        first_output_timeout: FirstTokenTimeout,
    ) -> None:
        """Start the call.

        Args:
            context: Request, table, timeouts and ports.
            candidate: The model.
            provider: Its vendor.
            event_id: Id under which the cost is reserved and recorded.
            first_output_timeout: Timeout of the first output.
        """
        self.candidate = candidate
        self._provider = provider
        self.ended: EndReason | None = None
        self.failure: ModelFailure | None = None
        self.first_output_s: float | None = None
        self._context = context
        self._event_id = event_id
        self._meter = UsageMeter(context.request.prompt_tokens)
        self._next_reserve_at = now = self._now()
        self._cost: AttemptCost | None = None
        self._buffer = OutputBuffer()
        # Set by output, also hidden, and by the end of the call; cleared in `events`.
        self._progressed = asyncio.Event()
        # Set by the first output or by the end of the call; never cleared.
        self._output_or_end = asyncio.Event()
        self._read_ended = False
        timeouts = context.timeouts
        self._started = now
        self._last_output_at = now
        self._trace = telemetry.AttemptTrace(candidate, context.request)
        left_s = deadline.remaining()
        caller_limit_s = math.inf if left_s is None else left_s - end_margin_s(left_s)
        self._total_until = now + min(timeouts.total_s, caller_limit_s)
        self._total_timeout_kind = (
            FailureKind.CALLER_DEADLINE if caller_limit_s < timeouts.total_s else FailureKind.TIMEOUT
        )
        self._first_output_until = now + first_output_timeout.seconds
        self._first_timeout_kind = (
            FailureKind.CALLER_DEADLINE if first_output_timeout.caller_limited else FailureKind.TIMEOUT
        )
        # True also after fragments of a tool call.
        self._has_progress = False
        self._cancelled = False
        # A task of its own: a cancellation reaches the read from the vendor, wherever the caller waits.
        with self._trace.current():
            self._task = asyncio.create_task(self._read_vendor(), name=f"attempt {candidate.alias}")

    async def _read_vendor(self) -> None:
        try:
            # Reserve before the call: a process killed before the first output leaves a journal entry.
            self._context.reserve(self._cost_now(AttemptOutcome.FAILED))
            async with (
                asyncio.timeout_at(self._total_until),
                aclosing(self._provider.stream(self._context.request, self.candidate)) as stream,
            ):
                async for event in stream:
                    self._handle(event)
                    await self._buffer.wait_for_space()
            self._check_end()
        except ModelFailure as failure:
            self.failure = failure
        except TimeoutError:
            self.failure = ModelFailure(self._classify_total_timeout(), "the answer did not end in time")
        except Exception as error:  # noqa: BLE001 - unhandled, an SDK error would look like an empty answer
            # An error of the router, not of the vendor; the next candidate may work.
            self.failure = ModelFailure(FailureKind.INTERNAL, f"its adapter raised {type(error).__name__}")
            # Log the place only: the message of an unexpected error may contain user content.
            _log.error("adapter raised", model=self.candidate.alias, at=_error_location(error))
        finally:
            self._read_ended = True
            self._output_or_end.set()
            self._progressed.set()

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
                    self._has_progress, self._first_timeout_kind = True, FailureKind.TIMEOUT
                    self._first_output_until = max(
                        self._first_output_until, self._now() + self._context.timeouts.between_tokens_s
                    )
                self._progressed.set()
                self._reserve_progress()
            case TextDelta():
                self._meter.add_output(event.text)
                self._forward(event)
            case ToolCallEvent():
                # Its fragments arrived before as HiddenOutput.
                self._forward(self._tool_calls.accept(event))
            case ProviderStateEvent():
                self._forward(self._tool_calls.accept_state(event))

    @cached_property
    def _tool_calls(self) -> ToolCallLog:
        return ToolCallLog.of(self._context.request)

    def _forward(self, event: OutputEvent) -> None:
        self._buffer.add(event)
        self._progressed.set()
        if not isinstance(event, ProviderStateEvent):
            self._output_arrived()

    def _output_arrived(self) -> None:
        before, self._last_output_at, self._has_progress = self._last_output_at, self._now(), True
        if self.first_output_s is None:
            self.first_output_s = self._last_output_at - self._started
            self._trace.first_chunk(self.first_output_s)
            self._output_or_end.set()
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
        until = self._now() + seconds
        if until < self._first_output_until:
            try:
                async with asyncio.timeout_at(until):
                    await self._output_or_end.wait()
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
        while not self._output_or_end.is_set():
            until = min(self._first_output_until, self._total_until)
            try:
                async with asyncio.timeout_at(until):
                    await self._output_or_end.wait()
            except TimeoutError:
                if until == min(self._first_output_until, self._total_until):
                    kind = (
                        self._first_timeout_kind
                        if self._first_output_until <= self._total_until
                        else self._classify_total_timeout()
                    )
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
            if self._read_ended:
                break
            self._progressed.clear()
            until = self._now() + self._context.timeouts.between_tokens_s
            try:
                async with asyncio.timeout_at(min(until, self._total_until)):
                    await self._progressed.wait()
            except TimeoutError:
                kind = FailureKind.TIMEOUT if until <= self._total_until else self._total_timeout_kind
                raise self._fail(kind, "no next token in time") from None
        if self.failure is not None:
            raise self.failure

    def _classify_total_timeout(self) -> FailureKind:
        """Classify an overall timeout as the caller's (slow reader, short deadline) or the model's."""
        if self._buffer.full:
            return FailureKind.CALLER_DEADLINE
        return self._total_timeout_kind if self._has_progress else self._first_timeout_kind

    def _fail(self, kind: FailureKind, problem: str) -> ModelFailure:
        self.failure = ModelFailure(kind, problem)
        return self.failure

    def cancel(self) -> None:
        """Cancel the vendor call without waiting.

        Cancels once: a second cancellation would interrupt the closing of the stream that the first one started.
        """
        if not self._cancelled:
            self._cancelled = True
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


def _error_location(error: Exception) -> str:
    """Return the type of an error and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} in {frames[-1].name} ({Path(frames[-1].filename).name}:{frames[-1].lineno})"
