"""The book of costs, kept by the ratelimit service's ledger through a background recorder."""

from __future__ import annotations

from hocket.ratelimit.v1 import ledger_pb2 as pb

from clients.ratelimit import CostRecorder
from services.llm_router.ports import AttemptCost, AttemptOutcome

_OUTCOMES = {
    AttemptOutcome.OK: pb.COST_OUTCOME_OK,
    AttemptOutcome.CANCELLED: pb.COST_OUTCOME_CANCELLED,
    AttemptOutcome.FAILED: pb.COST_OUTCOME_FAILED,
}


class MeshLedger:
    """Books attempts as cost events of the tenant whose RPC is being served."""

    def __init__(self, recorder: CostRecorder) -> None:
        self._recorder = recorder

    def book(self, cost: AttemptCost) -> None:
        """Queue one event; the recorder sends it until it is durable."""
        self._recorder.record(event_of(cost))


def event_of(cost: AttemptCost) -> pb.CostEvent:
    """The ledger's form of an attempt."""
    usage = cost.usage
    quantities = {
        "input_tokens": usage.input_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "cache_write_5m_tokens": usage.cache_write_5m_tokens,
        "cache_write_1h_tokens": usage.cache_write_1h_tokens,
        "output_tokens": usage.output_tokens,
        "thinking_tokens": usage.thinking_tokens,
        "estimated": int(cost.estimated),
    }
    event = pb.CostEvent(
        event_id=cost.event_id,
        kind=pb.COST_KIND_LLM,
        provider=cost.provider,
        model=cost.model,
        cost_micro_usd=cost.cost_micro_usd,
        quantities={name: count for name, count in quantities.items() if count},
        room=cost.room,
        turn_id=cost.turn_id,
        tier=cost.tier.name.lower(),
        price_row=cost.price_row,
        speculative=cost.speculative,
        outcome=_OUTCOMES[cost.outcome],
    )
    event.occurred_at.FromMilliseconds(int(cost.ended_at_s * 1000))
    return event
