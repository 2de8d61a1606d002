"""One call that fills the prompt cache of a model before a conversation starts; its cost is always recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hocket.chassis import identity
from services.llm_router import telemetry
from services.llm_router.billing.attempt_cost import AttemptCost, AttemptOutcome, cost_of_attempt
from services.llm_router.catalog.tiers import Candidate, TierTable
from services.llm_router.chat.events import Usage, UsageUpdate
from services.llm_router.chat.request import Request, Tier
from services.llm_router.errors import AllModelsFailed, ModelFailure
from services.llm_router.ports import Ledger, Providers


@dataclass(frozen=True, slots=True)
class PrewarmCall:
    """Inputs of a prewarm call: request, model, prices and tier."""

    request: Request
    candidate: Candidate
    table: TierTable
    tier: Tier
    now_s: float

    def cost(
        self, event_id: str, usage: Usage, outcome: AttemptOutcome, *, served: str = "", estimated: bool = False
    ) -> AttemptCost:
        """Return the cost event of the call."""
        return cost_of_attempt(
            self.table,
            self.request,
            self.candidate,
            UsageUpdate(usage, served),
            event_id=event_id,
            tier=self.tier,
            now_s=self.now_s,
            outcome=outcome,
            estimated=estimated,
        )


async def prewarm_cache(
    call: PrewarmCall,
    providers: Providers,
    ledger: Ledger,
    event_id: str,
    record_cost: Callable[[AttemptCost], None],
) -> AttemptCost:
    """Fill the cache and return the cost. Without a response the write is assumed and marked as an estimate.

    Args:
        call: The call.
        providers: Providers by name.
        ledger: Journals the reservation before the call.
        event_id: Id of the cost event.
        record_cost: Records the cost, exactly once.

    Raises:
        AllModelsFailed: The call failed.
    """
    candidate = call.candidate
    guessed = Usage(cache_write_5m_tokens=call.request.prefix_tokens)
    cost = call.cost(event_id, guessed, AttemptOutcome.FAILED, estimated=True)
    ledger.reserve(cost)
    try:
        seen = await providers[candidate.provider].prewarm(call.request, candidate)
        cost = call.cost(event_id, seen.usage, AttemptOutcome.OK, served=seen.served_model)
    except ModelFailure as failure:
        if not failure.may_be_billed:
            cost = call.cost(event_id, Usage(), AttemptOutcome.FAILED)
        raise AllModelsFailed({candidate.alias: failure.kind.value}, failure.retry_after_s) from failure
    finally:
        record_cost(cost)
        telemetry.count_cost(cost, identity.current().tenant_tier)
    return cost
