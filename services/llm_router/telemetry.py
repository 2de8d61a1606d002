"""Spans and metrics: OpenTelemetry's GenAI semantic conventions, and Prometheus metrics of the router.

The conventions count cached and written tokens inside `gen_ai.usage.input_tokens`, Anthropic beside it; they are added
up here for every vendor. No attribute contains user content.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from opentelemetry import metrics, trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from prometheus_client import Counter, Gauge

from hocket.chassis.telemetry import LatencyHistogram
from services.llm_router.billing.attempt_cost import AttemptCost
from services.llm_router.catalog.tiers import Candidate
from services.llm_router.chat.request import Request
from services.llm_router.routing.circuit_breaker import BreakerState
from services.llm_router.routing.decision import Decision

# More often than Prometheus scrapes; a breaker is open for at least 2 s.
SHOWN_EVERY_S = 2.0
_FIRST_TOKEN_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2.5, 5, 10)
ANSWERS_IN_FLIGHT = Gauge(
    "hocket_llm_router_answers_in_flight", "Answers being generated, from admission to the last cost; scale on it."
)
ROUTED = Counter(
    "hocket_llm_router_routes", "Requests by tier and cause of the decision.", ["tier", "cause", "tenant_tier"]
)
_BREAKER_OPEN = Gauge(
    "hocket_llm_router_circuit_breaker_open", "1 while the circuit breaker of a model is not closed, else 0.", ["model"]
)
ATTEMPTS = Counter("hocket_llm_router_attempts", "Attempts at models by outcome.", ["model", "outcome"])
HEDGES = Counter("hocket_llm_router_hedges", "Hedges: second attempts started while the first was slow.", ["model"])
TOKENS = Counter("hocket_llm_router_tokens", "Tokens by kind.", ["model", "kind", "tenant_tier"])
COST = Counter("hocket_llm_router_cost_micro_usd", "Cost in millionths of a US dollar.", ["model", "tenant_tier"])
FIRST_TOKEN = LatencyHistogram(
    "hocket_llm_router_first_token_seconds",
    "From a request's arrival to its first text or tool call.",
    ["tier"],
    buckets=_FIRST_TOKEN_BUCKETS,
)

_PROVIDER_NAMES = {"anthropic": "anthropic", "gemini": "gcp.gemini", "openai": "openai", "embedded": "hocket.embedded"}
_tracer = trace.get_tracer("hocket.llm_router")
_meter = metrics.get_meter("hocket.llm_router")
# Bucket boundaries advised by the conventions.
_token_usage = _meter.create_histogram(
    "gen_ai.client.token.usage",
    "{token}",
    "Tokens used, by type.",
    explicit_bucket_boundaries_advisory=[4**i for i in range(14)],
)
_duration = _meter.create_histogram(
    "gen_ai.client.operation.duration",
    "s",
    "Duration of a model's operation.",
    explicit_bucket_boundaries_advisory=[0.01 * 2**i for i in range(14)],
)
_first_chunk = _meter.create_histogram(
    "gen_ai.client.operation.time_to_first_chunk",
    "s",
    "Time to the first chunk of a model's answer.",
    explicit_bucket_boundaries_advisory=[
        *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 10)
    ],
)
_next_chunk = _meter.create_histogram(
    "gen_ai.client.operation.time_per_output_chunk",
    "s",
    "Time between two chunks of a model's answer.",
    explicit_bucket_boundaries_advisory=[*(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5)],
)


class AttemptTrace:
    """The span and the metrics of one vendor call."""

    def __init__(self, candidate: Candidate, request: Request) -> None:
        """Start the span."""
        self._attributes: dict[str, str] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": _PROVIDER_NAMES[candidate.provider],
            "gen_ai.request.model": candidate.vendor_model,
        }
        attributes: dict[str, str | int] = {
            **self._attributes,
            "gen_ai.output.type": "text",
            "hocket.llm_router.model": candidate.alias,
        }
        if request.conversation_id:
            attributes["gen_ai.conversation.id"] = request.conversation_id
        if request.turn_id:
            attributes["hocket.turn_id"] = request.turn_id
        if request.max_output_tokens:
            attributes["gen_ai.request.max_tokens"] = request.max_output_tokens
        self._span = _tracer.start_span(f"chat {candidate.vendor_model}", kind=SpanKind.CLIENT, attributes=attributes)

    def current(self) -> AbstractContextManager[object]:
        """Make the span the current one for the block, so that the request to the vendor carries it."""
        return trace.use_span(self._span, record_exception=False, set_status_on_exception=False)

    def first_chunk(self, seconds: float) -> None:
        """Record the time to the first output in seconds."""
        self._span.set_attribute("gen_ai.response.time_to_first_chunk", seconds)
        _first_chunk.record(seconds, self._attributes)

    def next_chunk(self, seconds: float) -> None:
        """Record the time since the previous output in seconds."""
        _next_chunk.record(seconds, self._attributes)

    def end(self, cost: AttemptCost, *, ended: str, failure: str, seconds: float, tenant_tier: str) -> None:
        """End the span and count the usage.

        Args:
            cost: The final cost.
            ended: Finish reason of the vendor; empty for none.
            failure: Failure kind; empty for none.
            seconds: Duration of the attempt.
            tenant_tier: Label of the metrics.
        """
        usage = cost.usage
        self._span.set_attributes(
            {
                "gen_ai.response.model": cost.model,
                "gen_ai.usage.input_tokens": usage.prompt_tokens,
                "gen_ai.usage.output_tokens": usage.output_tokens,
                "gen_ai.usage.cache_read.input_tokens": usage.cached_input_tokens,
                "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
                "hocket.llm_router.cost_micro_usd": cost.cost_micro_usd,
                "hocket.llm_router.price_row": cost.price_row,
                "hocket.llm_router.speculative": cost.speculative,
            }
        )
        if ended:
            self._span.set_attribute("gen_ai.response.finish_reasons", [ended])
        if failure:
            self._span.set_attribute("error.type", failure)
            self._span.set_status(Status(StatusCode.ERROR, failure))
        self._span.end()
        attributes = {**self._attributes, "gen_ai.response.model": cost.model}
        _token_usage.record(usage.prompt_tokens, {**attributes, "gen_ai.token.type": "input"})
        _token_usage.record(usage.output_tokens, {**attributes, "gen_ai.token.type": "output"})
        _duration.record(seconds, {**attributes, "error.type": failure} if failure else attributes)
        count_cost(cost, tenant_tier)


async def keep_breakers_shown(health: Callable[[], Mapping[str, tuple[object, BreakerState]]]) -> None:
    """Show the state of each breaker as a metric, also where the time or another replica has changed it.

    Args:
        health: Returns the breaker of each model and its state, by alias.
    """
    while True:
        _BREAKER_OPEN.clear()
        for alias, (_, state) in health().items():
            _BREAKER_OPEN.labels(alias).set(0 if state is BreakerState.CLOSED else 1)
        await asyncio.sleep(SHOWN_EVERY_S)


def count_cost(cost: AttemptCost, tenant_tier: str) -> None:
    """Count a vendor call and its cost."""
    alias = cost.price_row.partition("@")[0]
    ATTEMPTS.labels(alias, cost.outcome.value).inc()
    COST.labels(alias, tenant_tier).inc(cost.cost_micro_usd)
    for kind, count in _kinds(cost).items():
        TOKENS.labels(alias, kind, tenant_tier).inc(count)


def _kinds(cost: AttemptCost) -> Mapping[str, int]:
    usage = cost.usage
    return {
        "input": usage.input_tokens,
        "cached_input": usage.cached_input_tokens,
        "cache_write": usage.cache_write_tokens,
        "output": usage.output_tokens,
    }


def record_route_span(decision: Decision) -> None:
    """Record the decision as a span: tier, cause, reasons, and alternatives with their costs."""
    with _tracer.start_as_current_span("route") as span:
        if not span.is_recording():
            return
        span.set_attributes(
            {
                "hocket.llm_router.tier": decision.tier.name.lower(),
                "hocket.llm_router.wished_tier": decision.mix_tier.name.lower(),
                "hocket.llm_router.cause": decision.cause.value,
                "hocket.llm_router.mix_mode": decision.mode.value,
                "hocket.llm_router.score": decision.score,
                "hocket.llm_router.model": decision.candidates[0].alias,
                "hocket.llm_router.reasons": [f"{r.name} {r.weight:+.2f} {r.detail}" for r in decision.reasons],
                "hocket.llm_router.alternatives": [
                    f"{a.model} {a.cost_micro_usd} micro-USD: {a.why_not}" for a in decision.alternatives
                ],
            }
        )
