"""The order in which one request is served: limit, session, decision, attempts along the ladder, book, session."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

import structlog
from prometheus_client import Counter, Histogram

from chassis import identity
from chassis.clock import Clock
from chassis.errors import Unimplemented
from services.llm_router.attempt import Attempt, AttemptLimits
from services.llm_router.conversation import MixMode, Request
from services.llm_router.errors import AllModelsFailed, ModelFailure
from services.llm_router.events import CallMade, EndReason, StateGiven, TextDelta, Usage
from services.llm_router.mix import Mix, tie_of
from services.llm_router.ports import AttemptCost, Ledger, Limits, Providers, SharedState, Tables
from services.llm_router.routing import EXEMPT, Decision, Situation, decide
from services.llm_router.scoring import Scorer
from services.llm_router.sessions import Session, after_turn
from services.llm_router.tiers import Candidate

ROUTED = Counter("hocket_llm_router_routes", "Requests by tier and what decided it.", ["tier", "cause", "tenant_tier"])
ATTEMPTS = Counter("hocket_llm_router_attempts", "Attempts at models by how they ended.", ["model", "outcome"])
FIRST_TOKEN = Histogram(
    "hocket_llm_router_first_token_seconds",
    "From a request's arrival to its first text or tool call.",
    ["tier"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2.5, 5, 10),
)
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Routed:
    """A model begins to answer: the decision, which candidate, which attempt (from 1)."""

    decision: Decision
    candidate: Candidate
    attempt: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is over. Costs are in micro-USD for all attempts; usage is that of the one that answered."""

    reason: EndReason
    usage: Usage
    cost_micro_usd: int
    served_model: str
    price_row: str
    first_token_s: float
    cost_event_ids: tuple[str, ...]


FlowEvent = Routed | TextDelta | CallMade | StateGiven | Finished


@dataclass(frozen=True, slots=True)
class RouterPorts:
    """All that the router needs from outside."""

    tables: Tables
    providers: Providers
    limits: Limits
    ledger: Ledger
    state: SharedState
    clock: Clock
    new_id: Callable[[], str]


@dataclass(slots=True)
class _Answer:
    """What has been said and paid so far for one request."""

    arrived_s: float
    first_token_s: float = 0.0
    spoken: bool = False
    costs: list[AttemptCost] = field(default_factory=list[AttemptCost])
    failures: dict[str, str] = field(default_factory=dict[str, str])


class Router:
    """Serves requests over the ports."""

    def __init__(
        self,
        ports: RouterPorts,
        scorer: Scorer,
        *,
        mode: MixMode,
        limits: AttemptLimits,
        usable: Callable[[Candidate], str | None],
    ) -> None:
        """`usable` says why a candidate may not be tried now (None: it may); `mode` serves requests that name none."""
        self._ports = ports
        self._scorer = scorer
        self._mode = mode
        self._limits = limits
        self._usable = usable

    async def route(self, request: Request) -> Decision:
        """The decision alone. Its mix is kept apart from that of answered requests, so neither disturbs the other."""
        decision, _ = await self._decide(request, "route")
        return decision

    async def generate(self, request: Request) -> AsyncGenerator[FlowEvent, None]:
        """The answer, candidate after candidate until one has spoken.

        Raises ResourceExhausted, NoCapableModel, or AllModelsFailed when nothing was said.
        """
        ports = self._ports
        answer = _Answer(ports.clock.monotonic())
        await ports.limits.require_request()
        decision, session = await self._decide(request, "generate")
        for number, candidate in enumerate(decision.ladder, 1):
            yield Routed(decision, candidate, number)
            attempt = self._attempt(request, decision, candidate)
            try:
                async with aclosing(attempt.events()) as events:
                    async for event in events:
                        if not answer.spoken and isinstance(event, TextDelta | CallMade):
                            self._first(answer, decision)
                        yield event
            except ModelFailure as failure:
                answer.failures[candidate.alias] = failure.kind.value
                _log.warning("attempt failed", model=candidate.alias, kind=failure.kind.value, problem=str(failure))
                if not answer.spoken:
                    continue
                yield self._finished(answer, attempt, EndReason.CUT)
                return
            finally:
                self._close(answer, attempt)
            self._remember(request, decision, session, attempt)
            yield self._finished(answer, attempt, attempt.ended or EndReason.STOP)
            return
        raise AllModelsFailed(answer.failures)

    async def record_outcome(self, turn_id: str, outcome: str) -> None:
        """How the answer of a turn was received."""
        raise Unimplemented(f"outcomes are not kept yet ({turn_id}: {outcome})")

    def _attempt(self, request: Request, decision: Decision, candidate: Candidate) -> Attempt:
        ports = self._ports
        provider = ports.providers[candidate.provider]
        return Attempt(
            request, candidate, decision.tier, provider, ports.tables.current, self._limits, ports.clock, ports.new_id()
        )

    async def _decide(self, request: Request, use: str) -> tuple[Decision, Session | None]:
        ports, caller = self._ports, identity.current()
        table, mode = ports.tables.current, request.mix_mode or self._mode
        session = None
        if request.conversation_id:
            session = await ports.state.load_session(caller.tenant_id, request.conversation_id)
        complexity = self._scorer.score(request)
        mix = ports.state.mix(caller.tenant_id, mode, use, table.shares)
        situation = Situation(table, ports.clock.time(), mode, tie_of(mix.total), self._usable, session)
        # No await between reading the mix and counting in it: requests that start together would see the same state.
        decision = decide(request, complexity, mix, situation)
        self._count(mix, decision, mode, use)
        return decision, session

    def _count(self, mix: Mix, decision: Decision, mode: MixMode, use: str) -> None:
        caller = identity.current()
        if decision.cause in EXEMPT:
            mix.count_exempt()
        else:
            mix.count(decision.score, decision.tier)
            self._ports.state.count(caller.tenant_id, mode, use, decision.tier)
        if use == "generate":
            ROUTED.labels(decision.tier.name.lower(), decision.cause.value, caller.tenant_tier).inc()

    def _first(self, answer: _Answer, decision: Decision) -> None:
        answer.spoken = True
        answer.first_token_s = self._ports.clock.monotonic() - answer.arrived_s
        FIRST_TOKEN.labels(decision.tier.name.lower()).observe(answer.first_token_s)

    def _close(self, answer: _Answer, attempt: Attempt) -> None:
        # Runs also when the caller left in the middle: an attempt that reached a vendor is money.
        cost = attempt.cost()
        answer.costs.append(cost)
        ATTEMPTS.labels(attempt.candidate.alias, cost.outcome.value).inc()
        self._ports.ledger.book(cost)

    def _remember(self, request: Request, decision: Decision, session: Session | None, attempt: Attempt) -> None:
        if not request.conversation_id:
            return
        usage = attempt.usage
        after = after_turn(
            session,
            tier=decision.tier,
            wished=decision.wished,
            model=attempt.candidate.alias,
            cached_tokens=usage.cached_input_tokens + usage.cache_write_tokens,
            now_s=self._ports.clock.time(),
        )
        self._ports.state.store_session(identity.current().tenant_id, request.conversation_id, after)

    @staticmethod
    def _finished(answer: _Answer, attempt: Attempt, reason: EndReason) -> Finished:
        cost = answer.costs[-1]
        return Finished(
            reason=reason,
            usage=attempt.usage,
            cost_micro_usd=sum(c.cost_micro_usd for c in answer.costs),
            served_model=cost.model,
            price_row=cost.price_row,
            first_token_s=answer.first_token_s,
            cost_event_ids=tuple(c.event_id for c in answer.costs),
        )


def failures_of(error: AllModelsFailed) -> Mapping[str, str]:
    """How each model failed, by alias."""
    return error.metadata
