"""The order in which one request is served: limit, session, decision, attempts along the candidates, book, session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass

import structlog

from hocket.chassis import deadline, identity
from services.llm_router import telemetry
from services.llm_router.admission.concurrency import TenantConcurrency
from services.llm_router.attempts.answer_events import Finished, FlowEvent, Prewarmed, Routed
from services.llm_router.attempts.attempt import Attempt, AttemptContext
from services.llm_router.attempts.fallback import Fallback, RetryBudget
from services.llm_router.attempts.hedge_delay import FirstTokenLatencies
from services.llm_router.attempts.hedging import HedgedCall
from services.llm_router.attempts.model_health import Admission, ModelHealth
from services.llm_router.attempts.settlement import Settlement
from services.llm_router.attempts.timeouts import AttemptTimeouts
from services.llm_router.billing.attempt_cost import AttemptCost
from services.llm_router.billing.budget import BudgetStanding, until_midnight_s
from services.llm_router.catalog.tenant_policy import TenantPolicy
from services.llm_router.catalog.tiers import Candidate
from services.llm_router.chat.events import EndReason
from services.llm_router.chat.request import MixMode, Request
from services.llm_router.errors import (
    DECLINED,
    AllModelsFailed,
    BudgetExhausted,
    FailureKind,
    ModelFailure,
    NoCapableModel,
    TurnNotFound,
)
from services.llm_router.ports import RouterPorts
from services.llm_router.prompt_cache.breakpoints import can_prewarm
from services.llm_router.prompt_cache.prewarm import PrewarmCall, prewarm_cache
from services.llm_router.routing.complexity import Scorer
from services.llm_router.routing.decision import Decision, RoutingContext, decide
from services.llm_router.routing.sessions import Session, after_turn, with_warm_cache
from services.llm_router.routing.tier_mix import TierMix, tie_break

# Turns of the loop from an attempt's beginning to its request on the vendor's socket: the attempt, then the transport.
LOOP_TURNS_TO_SEND = 2
# As long as a vendor may take to be left and to count.
DRAIN_TIMEOUT_S = 2.5
DRAIN_PERIOD_S = 0.02
_log = structlog.get_logger()


@dataclass(slots=True)
class _Answer:
    """What has been said and paid so far for one request."""

    request: Request
    decision: Decision
    session: Session | None
    arrived_s: float
    asked_tokens: int
    settlement: Settlement
    first_token_s: float = 0.0
    spoken: bool = False
    attempts: int = 0
    declined: Attempt | None = None


class Router:
    """Serves requests over the ports."""

    def __init__(
        self,
        ports: RouterPorts,
        scorer: Scorer,
        model_health: ModelHealth,
        *,
        mode: MixMode,
        limits: AttemptTimeouts,
        budget_micro_usd: int = 0,
        answers_per_tenant_max: int = 250,
    ) -> None:
        """`mode` and the budget of a day hold for tenants that the table says nothing of; `limits` bound attempts."""
        self._ports = ports
        self._scorer = scorer
        self._model_health = model_health
        self._mode = mode
        self._budget_micro_usd = budget_micro_usd
        self._limits = limits
        self._running = TenantConcurrency(answers_per_tenant_max)
        self._retries = RetryBudget()
        self._first_tokens = FirstTokenLatencies()

    async def route(self, request: Request) -> Decision:
        """The decision alone. Its mix is kept apart from that of answered requests, so neither disturbs the other.

        Raises BudgetExhausted, NoCapableModel or AllModelsFailed, as `generate` would.
        """
        policy = self._policy()
        decision, _ = await self._decide(request, policy, "route", thrifty=self._thrifty(policy))
        telemetry.record_route_span(decision)
        return decision

    async def generate(self, request: Request) -> AsyncGenerator[FlowEvent, None]:
        """The answer, candidate after candidate until one has spoken.

        Raises ResourceExhausted, NoCapableModel, or AllModelsFailed when nothing was said.
        """
        with self._running.slot(identity.current().tenant_id):
            answer = await self._admit(request, "generate")
            try:
                async with aclosing(self._pursue(answer)) as events:
                    async for event in events:
                        yield event
            finally:
                # Also when the caller left: what reached a vendor is money.
                try:
                    await answer.settlement.settle()
                finally:
                    self._ports.limits.charge(answer.settlement.used_tokens - answer.asked_tokens)

    async def drain(self) -> None:
        """Wait for answers that were cut when the server stopped: what they cost is still being counted."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                while self._running.running:  # noqa: ASYNC110 - a number sets no event
                    await asyncio.sleep(DRAIN_PERIOD_S)

    async def _admit(self, request: Request, use: str) -> _Answer:
        """Whether the tenant may ask, and the decision. Raises ResourceExhausted, NoCapableModel or AllModelsFailed."""
        clock = self._ports.clock
        arrived_s = clock.monotonic()
        policy = self._policy()
        thrifty = self._thrifty(policy)
        asked_tokens = request.prompt_tokens
        await self._ports.limits.require_request(asked_tokens)
        decision, session = await self._decide(request, policy, use, thrifty=thrifty)
        settlement = Settlement(self._record_cost, identity.current().tenant_tier)
        return _Answer(request, decision, session, arrived_s, asked_tokens, settlement)

    def _thrifty(self, policy: TenantPolicy) -> bool:
        """Whether the tenant is near its budget. Raises BudgetExhausted where it is through it."""
        standing = self._ports.budgets.standing(identity.current().tenant_id, policy.budget_micro_usd)
        if standing is BudgetStanding.SPENT:
            raise BudgetExhausted(
                "the tenant has spent its budget of the day; it begins anew at midnight UTC",
                retry_after_s=until_midnight_s(self._ports.clock.time()),
            )
        return standing is BudgetStanding.NEAR

    async def _pursue(self, answer: _Answer) -> AsyncGenerator[FlowEvent, None]:
        """One candidate after another until one has spoken. Raises AllModelsFailed."""
        clock, fallback = self._ports.clock, Fallback(answer.decision.candidates, self._retries)
        while (step := fallback.next_attempt(clock.monotonic(), deadline.remaining())) is not None:
            if step.wait_s:
                await asyncio.sleep(step.wait_s)
            admission = await self._model_health.admit(step.candidate)
            if admission is Admission.NO:
                fallback.skip(step.candidate)
                continue
            probe = admission is Admission.AS_PROBE
            async with aclosing(self._ask(answer, fallback, step.candidate, probe=probe)) as events:
                async for event in events:
                    yield event
            if answer.spoken:
                return
        if answer.declined is not None:
            # Somebody did answer, and said no: that is an end of its own, not a vendor that is down.
            yield await self._finished(answer, answer.declined, answer.declined.ended or EndReason.REFUSAL)
            return
        raise _no_answer(fallback)

    async def prewarm(self, request: Request) -> Prewarmed:
        """Fill the prompt cache of the model that would answer. Raises as `generate`, also where the filling fails."""
        answer = await self._admit(request, "route")
        candidate, now_s = answer.decision.candidates[0], self._ports.clock.time()
        if not can_prewarm(request, candidate):
            return Prewarmed(candidate, 0, 0)
        filling = PrewarmCall(request, candidate, self._ports.tables.current, answer.decision.tier, now_s)
        cost = await prewarm_cache(
            filling, self._ports.providers, self._ports.ledger, self._ports.new_id(), self._record_cost
        )
        cached = cost.usage.cached_input_tokens + cost.usage.cache_write_tokens
        if request.conversation_id:
            session = with_warm_cache(answer.session, candidate.alias, cached, now_s)
            self._ports.state.store_session(identity.current().tenant_id, request.conversation_id, session)
        return Prewarmed(candidate, cached, cost.cost_micro_usd)

    def _record_cost(self, cost: AttemptCost) -> None:
        self._ports.ledger.record(cost)
        self._ports.budgets.record(identity.current().tenant_id, cost.cost_micro_usd)

    async def record_outcome(self, turn_id: str, outcome: str) -> None:
        """How the answer of a turn was received. Raises TurnNotFound."""
        if not await self._ports.outcomes.record_outcome(identity.current().tenant_id, turn_id, outcome):
            raise TurnNotFound("no turn of this id was answered here lately", metadata={"turnId": turn_id})

    async def _ask(
        self, answer: _Answer, fallback: Fallback, candidate: Candidate, *, probe: bool
    ) -> AsyncGenerator[FlowEvent, None]:
        """One hedged: the route, and the answer of whoever speaks first; nothing more when nobody does."""
        answer.attempts += 1
        number = answer.attempts
        hedged = HedgedCall(
            self._begin(answer, fallback, candidate),
            hedge_delay_s=self._first_tokens.hedge_delay_s(candidate.alias),
            hedge=lambda: self._hedge(answer, fallback),
        )
        winner: Attempt | None = None
        try:
            # Told while the vendor is already being asked: telling first would cost each request half a millisecond.
            # An answer that comes sooner waits in its attempt.
            for _ in range(LOOP_TURNS_TO_SEND):
                await asyncio.sleep(0)
            if number == 1:
                self._tell(answer.decision)
            yield Routed(answer.decision, candidate, number)
            winner = await hedged.winner()
            if winner.candidate is not candidate:
                yield Routed(answer.decision, winner.candidate, answer.attempts)
            self._spoke(answer, winner)
            async for event in winner.events():
                yield event
        except ModelFailure:
            # Told by each attempt itself, below.
            pass
        finally:
            try:
                await hedged.close()
            finally:
                answer.settlement.add(hedged.attempts)
                self._settle(answer, fallback, hedged, winner, probe=probe)
        if winner is not None:
            # Without the vendor's own end it was cut, whatever happened.
            reason = EndReason.CUT if winner.failure else winner.ended or EndReason.CUT
            yield await self._finished(answer, winner, reason)

    def _begin(self, answer: _Answer, fallback: Fallback, candidate: Candidate) -> Attempt:
        ports = self._ports
        context = AttemptContext(
            answer.request, answer.decision.tier, ports.tables.current, self._limits, ports.clock, ports.ledger.reserve
        )
        provider = ports.providers[candidate.provider]
        wait = self._limits.first_token_timeout(
            answer.attempts,
            left_s=deadline.remaining(),
            last=fallback.exhausted,
            p95_s=self._first_tokens.p95_s(candidate.alias),
        )
        return Attempt(context, candidate, provider, ports.new_id(), wait)

    def _hedge(self, answer: _Answer, fallback: Fallback) -> Attempt | None:
        candidate = fallback.next_hedge(lambda c: c.provider != "embedded" and self._model_health.is_closed(c))
        if candidate is None:
            return None
        self._first_tokens.spend_hedge()
        telemetry.HEDGES.labels(candidate.alias).inc()
        answer.attempts += 1
        return self._begin(answer, fallback, candidate)

    def _spoke(self, answer: _Answer, attempt: Attempt) -> None:
        answer.spoken = True
        request, caller = answer.request, identity.current()
        if request.turn_id:
            alias = attempt.candidate.alias
            tier = self._ports.tables.current.tier_of(alias, answer.decision.tier)
            self._ports.outcomes.record_decision(
                caller.tenant_id, request.turn_id, answer.decision.features, tier, alias
            )
        answer.first_token_s = self._ports.clock.monotonic() - answer.arrived_s
        telemetry.FIRST_TOKEN.labels(answer.decision.tier.name.lower()).observe(answer.first_token_s)
        self._first_tokens.record(attempt.candidate.alias, attempt.first_output_s or 0.0)

    def _settle(
        self, answer: _Answer, fallback: Fallback, hedged: HedgedCall, winner: Attempt | None, *, probe: bool
    ) -> None:
        """Tell the health of every attempt; `probe` when the first of them probed a breaker."""
        for attempt in hedged.attempts:
            probed = probe and attempt is hedged.attempts[0]
            if attempt.failure is not None:
                fallback.record_failure(attempt.candidate, attempt.failure, self._ports.clock.monotonic())
                self._model_health.record_failure(attempt.candidate, attempt.failure, probe=probed)
                if attempt.failure.kind in DECLINED:
                    answer.declined = answer.declined or attempt
                kind, problem = attempt.failure.kind.value, str(attempt.failure)
                _log.warning("attempt failed", model=attempt.candidate.alias, kind=kind, problem=problem)
            elif attempt.first_output_s is not None:
                self._model_health.record_success(attempt.candidate)
            else:
                self._model_health.record_inconclusive(attempt.candidate, probe=probed)
        if winner is not None:
            self._retries.credit()
            self._remember(answer, winner)

    def _policy(self) -> TenantPolicy:
        caller = identity.current()
        return self._ports.tables.current.policy_of(
            caller.tenant_id, caller.tenant_tier, mode=self._mode, budget_micro_usd=self._budget_micro_usd
        )

    async def _decide(
        self, request: Request, policy: TenantPolicy, use: str, *, thrifty: bool = False
    ) -> tuple[Decision, Session | None]:
        ports, caller = self._ports, identity.current()
        table, mode = ports.tables.current, request.mix_mode or policy.mode
        session = None
        if request.conversation_id:
            session = await ports.state.load_session(caller.tenant_id, request.conversation_id)
        complexity = self._scorer.score(request)
        mix = await ports.state.mix(caller.tenant_id, mode, use, policy.shares)
        usable, tie = self._model_health.unavailable_reason, tie_break(mix.total)
        situation = RoutingContext(table, ports.clock.time(), mode, tie, usable, session, cheapest_only=thrifty)
        # No await between reading the mix and counting in it: requests that start together would see the same state.
        decision = decide(request, complexity, mix, situation)
        self._count(mix, decision, mode, use)
        return decision, session

    def _count(self, mix: TierMix, decision: Decision, mode: MixMode, use: str) -> None:
        # What a gate or a pin decided stays out of the shares; the metric of routes tells it apart by its cause.
        if decision.counted is not None:
            mix.count(decision.score, decision.counted)
            tenant_id = identity.current().tenant_id
            self._ports.state.count(tenant_id, mode, use, mix.shares, decision.counted)

    @staticmethod
    def _tell(decision: Decision) -> None:
        """Leave the decision in the trace and the metrics."""
        telemetry.record_route_span(decision)
        telemetry.ROUTED.labels(decision.tier.name.lower(), decision.cause.value, identity.current().tenant_tier).inc()

    def _remember(self, answer: _Answer, attempt: Attempt) -> None:
        if not answer.request.conversation_id:
            return
        after = after_turn(
            answer.session,
            tier=answer.decision.tier,
            mix_tier=answer.decision.mix_tier,
            model=attempt.candidate.alias,
            usage=attempt.usage,
            now_s=self._ports.clock.time(),
        )
        self._ports.state.store_session(identity.current().tenant_id, answer.request.conversation_id, after)

    @staticmethod
    async def _finished(answer: _Answer, attempt: Attempt, reason: EndReason) -> Finished:
        left_s = deadline.remaining()
        await answer.settlement.settle(within_s=None if left_s is None else max(left_s - deadline.SHAVE_S, 0.0))
        cost, costs = attempt.cost(), answer.settlement.costs
        return Finished(
            reason=reason,
            usage=cost.usage,
            cost_micro_usd=sum(c.cost_micro_usd for c in costs),
            served_model=cost.model,
            price_row=cost.price_row,
            first_token_s=answer.first_token_s,
            cost_event_ids=tuple(c.event_id for c in costs),
        )


def _no_answer(fallback: Fallback) -> AllModelsFailed | NoCapableModel:
    """Why nobody answered: a request that every vendor calls wrong is so tomorrow, too."""
    if fallback.failures and set(fallback.failures.values()) == {FailureKind.INVALID.value}:
        told = ", ".join(fallback.failures)
        return NoCapableModel(f"every model asked refused the request as invalid ({told}); change the request")
    return AllModelsFailed(fallback.failures, fallback.retry_after_s)
