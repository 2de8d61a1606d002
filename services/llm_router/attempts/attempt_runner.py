"""Runs the attempts of one admitted request: fallback over candidates, hedging, health records, session update."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import structlog

from hocket.chassis import deadline, identity
from services.llm_router import telemetry
from services.llm_router.admission.admit import Admitted
from services.llm_router.attempts.answer_events import Finished, FlowEvent, Routed
from services.llm_router.attempts.attempt import Attempt, AttemptContext
from services.llm_router.attempts.fallback import Fallback, RetryBudget
from services.llm_router.attempts.hedge_delay import FirstTokenLatencies
from services.llm_router.attempts.hedging import HedgedCall
from services.llm_router.attempts.model_health import BreakerPermit, ModelHealth
from services.llm_router.attempts.settlement import Settlement
from services.llm_router.attempts.timeouts import AttemptTimeouts
from services.llm_router.catalog.tiers import Candidate
from services.llm_router.chat.events import EndReason
from services.llm_router.errors import DECLINED, AllModelsFailed, FailureKind, ModelFailure, NoCapableModel
from services.llm_router.ports import RouterPorts
from services.llm_router.routing.sessions import after_turn

# Event-loop turns from starting an attempt to its request on the socket: one for the attempt, one for the transport.
LOOP_TURNS_TO_SEND = 2
_log = structlog.get_logger()


@dataclass(slots=True)
class _Progress:
    """State of one request while its attempts run. `declined` is the first attempt that ended without output."""

    admitted: Admitted
    fallback: Fallback
    settlement: Settlement
    first_token_s: float = 0.0
    answered: bool = False
    attempts: int = 0
    declined: Attempt | None = None


class AttemptRunner:
    """Runs requests; keeps the retry budget and the latencies of models for the whole process."""

    def __init__(self, ports: RouterPorts, model_health: ModelHealth, timeouts: AttemptTimeouts) -> None:
        self._ports = ports
        self._model_health = model_health
        self._timeouts = timeouts
        self._retries = RetryBudget()
        self._first_tokens = FirstTokenLatencies()

    async def run(self, admitted: Admitted, settlement: Settlement) -> AsyncGenerator[FlowEvent, None]:
        """Try candidates until one gives output, and stream its answer.

        Args:
            admitted: The request and its decision.
            settlement: Collects every finished attempt; the caller settles it afterwards.

        Yields:
            `Routed`, output of the answering model, `Finished`.

        Raises:
            AllModelsFailed: No candidate gave output.
            NoCapableModel: Every candidate called the request invalid.
        """
        clock = self._ports.clock
        fallback = Fallback(admitted.decision.candidates, self._retries)
        progress = _Progress(admitted, fallback, settlement)
        while (step := fallback.next_attempt(clock.monotonic(), deadline.remaining())) is not None:
            if step.wait_s:
                await asyncio.sleep(step.wait_s)
            permit = await self._model_health.acquire_permit(step.candidate)
            if permit is BreakerPermit.DENIED:
                fallback.skip(step.candidate)
                continue
            probe = permit is BreakerPermit.PROBE
            async with aclosing(self._call(progress, step.candidate, probe=probe)) as events:
                async for event in events:
                    yield event
            if progress.answered:
                return
        if progress.declined is not None:
            # A model did answer, by declining: the caller gets that end and not an error.
            yield await self._finished(progress, progress.declined, progress.declined.ended or EndReason.REFUSAL)
            return
        raise _no_answer_error(fallback)

    async def _call(self, progress: _Progress, candidate: Candidate, *, probe: bool) -> AsyncGenerator[FlowEvent, None]:
        """Call `candidate`, hedged where it is slow; yields no output when every attempt fails first."""
        decision = progress.admitted.decision
        progress.attempts += 1
        number = progress.attempts
        hedged = HedgedCall(
            self._start(progress, candidate),
            hedge_delay_s=self._first_tokens.hedge_delay_s(candidate.alias),
            hedge=lambda: self._start_hedge(progress),
        )
        winner: Attempt | None = None
        try:
            # Yield `Routed` after the vendor request is sent; before, it would delay the request by 0.5 ms. Output that
            # arrives earlier waits in the attempt.
            for _ in range(LOOP_TURNS_TO_SEND):
                await asyncio.sleep(0)
            if number == 1:
                self._record_route(progress)
            yield Routed(decision, candidate, number)
            winner = await hedged.winner()
            if winner.candidate is not candidate:
                yield Routed(decision, winner.candidate, progress.attempts)
            self._record_first_output(progress, winner)
            async for event in winner.events():
                yield event
        except ModelFailure:
            # Each attempt holds its failure; recorded below.
            pass
        finally:
            try:
                await hedged.close()
            finally:
                progress.settlement.add(hedged.attempts)
                self._record_health(progress, hedged, probe=probe)
                if winner is not None:
                    self._retries.credit()
                    self._store_session(progress, winner)
        if winner is not None:
            # Without an end event of the vendor the answer was cut, whatever the cause.
            reason = EndReason.CUT if winner.failure else winner.ended or EndReason.CUT
            yield await self._finished(progress, winner, reason)

    def _start(self, progress: _Progress, candidate: Candidate) -> Attempt:
        ports, admitted = self._ports, progress.admitted
        context = AttemptContext(
            admitted.request,
            admitted.decision.tier,
            ports.tables.current,
            self._timeouts,
            ports.clock,
            ports.ledger.reserve,
        )
        timeout = self._timeouts.first_token_timeout(
            progress.attempts,
            left_s=deadline.remaining(),
            last=progress.fallback.exhausted,
            p95_s=self._first_tokens.p95_s(candidate.alias),
        )
        return Attempt(context, candidate, ports.providers[candidate.provider], ports.new_id(), timeout)

    def _start_hedge(self, progress: _Progress) -> Attempt | None:
        candidate = progress.fallback.next_hedge(lambda c: c.provider != "embedded" and self._model_health.is_closed(c))
        if candidate is None:
            return None
        self._first_tokens.spend_hedge()
        telemetry.HEDGES.labels(candidate.alias).inc()
        progress.attempts += 1
        return self._start(progress, candidate)

    @staticmethod
    def _record_route(progress: _Progress) -> None:
        decision = progress.admitted.decision
        telemetry.record_route_span(decision)
        telemetry.ROUTED.labels(decision.tier.name.lower(), decision.cause.value, identity.current().tenant_tier).inc()

    def _record_first_output(self, progress: _Progress, attempt: Attempt) -> None:
        progress.answered = True
        request, decision = progress.admitted.request, progress.admitted.decision
        if request.turn_id:
            alias = attempt.candidate.alias
            tier = self._ports.tables.current.tier_of(alias, decision.tier)
            self._ports.outcomes.record_decision(
                identity.current().tenant_id, request.turn_id, decision.features, tier, alias
            )
        progress.first_token_s = self._ports.clock.monotonic() - progress.admitted.arrived_s
        telemetry.FIRST_TOKEN.labels(decision.tier.name.lower()).observe(progress.first_token_s)
        self._first_tokens.record(attempt.candidate.alias, attempt.first_output_s or 0.0)

    def _record_health(self, progress: _Progress, hedged: HedgedCall, *, probe: bool) -> None:
        """Record the result of every attempt; `probe` when the first one probed a half-open breaker."""
        for attempt in hedged.attempts:
            probed = probe and attempt is hedged.attempts[0]
            if attempt.failure is not None:
                progress.fallback.record_failure(attempt.candidate, attempt.failure, self._ports.clock.monotonic())
                self._model_health.record_failure(attempt.candidate, attempt.failure, probe=probed)
                if attempt.failure.kind in DECLINED:
                    progress.declined = progress.declined or attempt
                kind, problem = attempt.failure.kind.value, str(attempt.failure)
                _log.warning("attempt failed", model=attempt.candidate.alias, kind=kind, problem=problem)
            elif attempt.first_output_s is not None:
                self._model_health.record_success(attempt.candidate)
            else:
                self._model_health.record_inconclusive(attempt.candidate, probe=probed)

    def _store_session(self, progress: _Progress, attempt: Attempt) -> None:
        admitted = progress.admitted
        if not admitted.request.conversation_id:
            return
        session = after_turn(
            admitted.session,
            tier=admitted.decision.tier,
            mix_tier=admitted.decision.mix_tier,
            model=attempt.candidate.alias,
            usage=attempt.usage,
            now_s=self._ports.clock.time(),
        )
        self._ports.state.store_session(identity.current().tenant_id, admitted.request.conversation_id, session)

    @staticmethod
    async def _finished(progress: _Progress, attempt: Attempt, reason: EndReason) -> Finished:
        left_s = deadline.remaining()
        await progress.settlement.settle(within_s=None if left_s is None else max(left_s - deadline.SHAVE_S, 0.0))
        cost, costs = attempt.cost(), progress.settlement.costs
        return Finished(
            reason=reason,
            usage=cost.usage,
            cost_micro_usd=sum(c.cost_micro_usd for c in costs),
            served_model=cost.model,
            price_row=cost.price_row,
            first_token_s=progress.first_token_s,
            cost_event_ids=tuple(c.event_id for c in costs),
        )


def _no_answer_error(fallback: Fallback) -> AllModelsFailed | NoCapableModel:
    """Return the error of a request without answer; one that every vendor calls invalid is not worth a retry."""
    if fallback.failures and set(fallback.failures.values()) == {FailureKind.INVALID.value}:
        aliases = ", ".join(fallback.failures)
        return NoCapableModel(f"every model rejected the request as invalid ({aliases}); change the request")
    return AllModelsFailed(fallback.failures, fallback.retry_after_s)
