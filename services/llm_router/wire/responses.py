"""Translates domain events into protobuf messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hocket.llm_router.v1 import llm_router_pb2 as pb

from services.llm_router.attempts.answer_events import Finished, FlowEvent, Routed
from services.llm_router.catalog.tiers import Candidate, PriceRow
from services.llm_router.chat.events import EndReason, ProviderStateEvent, TextDelta, ToolCallEvent, Usage
from services.llm_router.chat.request import Tier, ToolCall
from services.llm_router.routing.circuit_breaker import BreakerState, ModelCircuitBreaker
from services.llm_router.routing.decision import Decision

_TIERS = {Tier.SIMPLE: pb.TIER_SIMPLE, Tier.MODERATE: pb.TIER_MODERATE, Tier.COMPLEX: pb.TIER_COMPLEX}
_ENDS = {
    EndReason.STOP: pb.FINISH_REASON_STOP,
    EndReason.TOOL_CALLS: pb.FINISH_REASON_TOOL_CALLS,
    EndReason.LENGTH: pb.FINISH_REASON_LENGTH,
    EndReason.REFUSAL: pb.FINISH_REASON_REFUSAL,
    EndReason.CUT: pb.FINISH_REASON_CUT,
}

_BREAKERS = {
    BreakerState.CLOSED: pb.BREAKER_STATE_CLOSED,
    BreakerState.OPEN: pb.BREAKER_STATE_OPEN,
    BreakerState.HALF_OPEN: pb.BREAKER_STATE_HALF_OPEN,
}


def event_to_proto(event: FlowEvent) -> pb.GenerateResponse:
    """Translate one event of an answer."""
    match event:
        case TextDelta():
            return pb.GenerateResponse(text_delta=_whole(event.text))
        case ToolCallEvent():
            return pb.GenerateResponse(tool_call=_call(event.call))
        case ProviderStateEvent():
            state = pb.ProviderState(provider=event.provider, call_id=event.call_id, data=event.data)
            return pb.GenerateResponse(provider_state=state)
        case Routed():
            return pb.GenerateResponse(route=decision_to_proto(event.decision, event.candidate, event.attempt))
        case Finished():
            return pb.GenerateResponse(finish=_finish(event))


def _call(call: ToolCall) -> pb.ToolCall:
    arguments = _whole(call.arguments_json)
    return pb.ToolCall(call_id=_whole(call.call_id), name=_whole(call.name), arguments_json=arguments)


def _whole(text: str) -> str:
    """Replace lone surrogates, which JSON may carry and protobuf may not."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def decision_to_proto(decision: Decision, candidate: Candidate, attempt: int = 1) -> pb.RouteDecision:
    """Translate a decision; `candidate` is the model that answers, `attempt` counts from 1."""
    return pb.RouteDecision(
        tier=_TIERS[decision.tier],
        model=candidate.alias,
        provider=candidate.provider,
        score=decision.score,
        reasons=[pb.RouteReason(name=r.name, weight=r.weight, detail=r.detail) for r in decision.reasons],
        alternatives=[
            pb.RouteAlternative(
                tier=_TIERS[a.tier], model=a.model, estimated_cost_micro_usd=a.cost_micro_usd, why_not=a.why_not
            )
            for a in decision.alternatives
        ],
        attempt=attempt,
        estimated_cost_micro_usd=decision.estimates[candidate.alias],
        cached_tokens=decision.warm_tokens.get(candidate.alias, 0),
    )


def _finish(event: Finished) -> pb.Finish:
    finish = pb.Finish(
        reason=_ENDS[event.reason],
        usage=_usage(event.usage),
        cost_micro_usd=event.cost_micro_usd,
        served_model=event.served_model,
        price_row=event.price_row,
        cost_event_ids=event.cost_event_ids,
    )
    finish.time_to_first_token.FromNanoseconds(int(event.first_token_s * 1e9))
    return finish


def _usage(usage: Usage) -> pb.Usage:
    return pb.Usage(
        input_tokens=usage.prompt_tokens,
        cached_input_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
        thinking_tokens=usage.thinking_tokens,
    )


def models_to_proto(rows: Sequence[tuple[Tier, Candidate, str | None]], now_s: float) -> pb.ListModelsResponse:
    """Translate candidates with their tiers and the reason why each cannot be chosen now (None: it can)."""
    return pb.ListModelsResponse(models=[_model(*row, now_s) for row in rows])


def _model(tier: Tier, candidate: Candidate, why_not: str | None, now_s: float) -> pb.Model:
    model = pb.Model(
        alias=candidate.alias,
        tier=_TIERS[tier],
        provider=candidate.provider,
        vendor_model=candidate.vendor_model,
        capabilities=sorted(candidate.capabilities),
        context_window_tokens=candidate.context_window_tokens,
        price=_price(candidate.price(now_s, 0)),
        available=why_not is None,
        unavailable_because=why_not or "",
    )
    if candidate.end_of_life_s is not None:
        model.end_of_life.FromSeconds(int(candidate.end_of_life_s))
    return model


def _price(row: PriceRow) -> pb.Price:
    price = pb.Price(
        row=row.name,
        input_micro_usd_per_mtok=row.input,
        cached_input_micro_usd_per_mtok=row.cached_input,
        cache_write_micro_usd_per_mtok=row.cache_write_5m,
        output_micro_usd_per_mtok=row.output,
    )
    price.valid_from.FromSeconds(int(row.valid_from_s))
    return price


def health_to_proto(rows: Mapping[str, tuple[ModelCircuitBreaker, BreakerState]]) -> pb.GetHealthResponse:
    """Translate the breaker of each candidate, by alias."""
    return pb.GetHealthResponse(candidates=[_health(alias, *row) for alias, row in rows.items()])


def _health(alias: str, breaker: ModelCircuitBreaker, state: BreakerState) -> pb.CandidateHealth:
    health = pb.CandidateHealth(alias=alias, breaker=_BREAKERS[state], consecutive_failures=breaker.failures)
    if state is not BreakerState.CLOSED:
        health.open_until.FromMilliseconds(int(breaker.open_until_s * 1000))
    return health
