"""The request lifecycle: admit, run attempts, settle. `Router.generate` shows the order in one place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from hocket.chassis import identity
from services.llm_router import telemetry
from services.llm_router.admission.admit import RequestAdmission
from services.llm_router.admission.concurrency import TenantConcurrency
from services.llm_router.attempts.answer_events import FlowEvent, Prewarmed
from services.llm_router.attempts.attempt_runner import AttemptRunner
from services.llm_router.attempts.model_health import ModelHealth
from services.llm_router.attempts.settlement import Settlement
from services.llm_router.attempts.timeouts import AttemptTimeouts
from services.llm_router.billing.attempt_cost import AttemptCost
from services.llm_router.chat.request import MixMode, Request
from services.llm_router.errors import TurnNotFound
from services.llm_router.ports import RouterPorts
from services.llm_router.prompt_cache.breakpoints import can_prewarm
from services.llm_router.prompt_cache.prewarm import PrewarmCall, prewarm_cache
from services.llm_router.routing.complexity import Scorer
from services.llm_router.routing.decision import Decision
from services.llm_router.routing.sessions import with_warm_cache

# Covers closing a vendor's stream (1 s) and counting its tokens (1 s), with slack.
DRAIN_TIMEOUT_S = 2.5
DRAIN_PERIOD_S = 0.02


class Router:
    """Serves requests over the ports: one method per RPC."""

    def __init__(
        self,
        ports: RouterPorts,
        scorer: Scorer,
        model_health: ModelHealth,
        *,
        mode: MixMode,
        timeouts: AttemptTimeouts,
        budget_micro_usd: int = 0,
        answers_per_tenant_max: int = 250,
    ) -> None:
        """Wire the steps of the lifecycle.

        Args:
            ports: Everything outside of the process.
            scorer: Complexity of a request, 0 to 1.
            model_health: Availability and circuit breaker of each candidate.
            mode: Mix mode of tenants for which the tiers file names none.
            timeouts: Timeouts of attempts.
            budget_micro_usd: Budget of a day (UTC) in micro-USD of tenants for which the tiers file names none; 0 is
                unlimited.
            answers_per_tenant_max: Answers of one tenant that may run at once on this server.
        """
        self._ports = ports
        self._concurrency = TenantConcurrency(answers_per_tenant_max)
        self._admission = RequestAdmission(
            ports, scorer, model_health.unavailable_reason, mode=mode, budget_micro_usd=budget_micro_usd
        )
        self._runner = AttemptRunner(ports, model_health, timeouts)

    async def generate(self, request: Request) -> AsyncGenerator[FlowEvent, None]:
        """Answer `request`: try candidates in the order of the decision until one gives output.

        Args:
            request: A validated request.

        Yields:
            `Routed` first and after each change of model, then output, `Finished` last.

        Raises:
            ResourceExhausted: A concurrency slot, rate limit or budget of the tenant is used up.
            NoCapableModel: No model can serve the request, or every model called it invalid.
            AllModelsFailed: Every candidate failed before any output.
        """
        tenant = identity.current()
        with self._concurrency.slot(tenant.tenant_id), telemetry.ANSWERS_IN_FLIGHT.track_inprogress():
            admitted = await self._admission.admit(request, "generate")
            settlement = Settlement(self._record_cost, tenant.tenant_tier)
            try:
                async with aclosing(self._runner.run(admitted, settlement)) as events:
                    async for event in events:
                        yield event
            finally:
                # Also after a cancellation: vendors bill what they processed.
                try:
                    await settlement.settle()
                finally:
                    self._ports.limits.charge(settlement.used_tokens - admitted.charged_tokens)

    async def route(self, request: Request) -> Decision:
        """Decide without answering. `Route` has a mix of its own, so that it does not shift the mix of `Generate`.

        Raises:
            BudgetExhausted: The budget of the tenant is spent.
            NoCapableModel: No model can serve the request.
            AllModelsFailed: The circuit breakers of all capable models are open.
        """
        decision, _ = await self._admission.decide(request, "route")
        telemetry.record_route_span(decision)
        return decision

    async def prewarm(self, request: Request) -> Prewarmed:
        """Write the instructions and tools of `request` into the prompt cache of the model that would answer it.

        Returns:
            The model and the tokens in its cache; 0 tokens where the vendor has no explicit cache or the prefix is too
            short for it.

        Raises:
            ResourceExhausted: A rate limit or the budget of the tenant is used up.
            NoCapableModel: No model can serve the request.
            AllModelsFailed: The call to the vendor failed.
        """
        admitted = await self._admission.admit(request, "route")
        candidate, now_s = admitted.decision.candidates[0], self._ports.clock.time()
        if not can_prewarm(request, candidate):
            return Prewarmed(candidate, 0, 0)
        call = PrewarmCall(request, candidate, self._ports.tables.current, admitted.decision.tier, now_s)
        cost = await prewarm_cache(
            call, self._ports.providers, self._ports.ledger, self._ports.new_id(), self._record_cost
        )
        cached = cost.usage.cached_input_tokens + cost.usage.cache_write_tokens
        if request.conversation_id:
            session = with_warm_cache(admitted.session, candidate.alias, cached, now_s)
            self._ports.state.store_session(identity.current().tenant_id, request.conversation_id, session)
        return Prewarmed(candidate, cached, cost.cost_micro_usd)

    async def record_outcome(self, turn_id: str, outcome: str) -> None:
        """Store how the answer of a turn was received, for refitting the complexity scorer.

        Raises:
            TurnNotFound: No turn of this id was answered within the last hour.
        """
        if not await self._ports.outcomes.record_outcome(identity.current().tenant_id, turn_id, outcome):
            raise TurnNotFound("no turn of this id was answered within the last hour", metadata={"turnId": turn_id})

    async def drain(self) -> None:
        """Wait, at most `DRAIN_TIMEOUT_S`, until the costs of cancelled answers are recorded."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                while self._concurrency.running:  # noqa: ASYNC110 - the counter has no event to wait for
                    await asyncio.sleep(DRAIN_PERIOD_S)

    def _record_cost(self, cost: AttemptCost) -> None:
        self._ports.ledger.record(cost)
        self._ports.budgets.record(identity.current().tenant_id, cost.cost_micro_usd)
