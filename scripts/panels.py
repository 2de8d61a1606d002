"""The panels of each dashboard, as data; scripts/gen_monitoring.py writes them to the charts."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from scripts.alerts import CALLS_RATELIMIT, CHARTS, RECORDS_COSTS

NAMESPACE = 'namespace=~"$namespace"'


class Panel(NamedTuple):
    """One time series panel: a title, Grafana's unit, and PromQL expressions with their legends."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]


def panels(chart: str) -> list[Panel]:
    """Return the panels of a chart's dashboard."""
    at = f'{NAMESPACE},container="{chart}"'
    return [*_OWN[chart](at), *_every_service(chart, CHARTS[chart], at)]


def mesh_panels() -> list[Panel]:
    """Return the panels of the dashboard of the whole mesh."""
    spent = f"sum by (kind) (rate(hocket_ratelimit_cost_micro_usd_total{{{NAMESPACE}}}[5m])) * 3600 / 1000000"
    return [
        Panel("Rooms", "short", ((_sum("livekit_active_rooms", NAMESPACE), "rooms"),)),
        Panel("Time to the answer", "s", _quantiles("hocket_media_gateway_turn_seconds", NAMESPACE)),
        Panel(
            "Turns by outcome",
            "ops",
            ((_rate("hocket_media_gateway_turns_total", NAMESPACE, "outcome"), "{{outcome}}"),),
        ),
        Panel(
            "Turns without a service",
            "ops",
            ((_rate("hocket_media_gateway_degraded_turns_total", NAMESPACE, "part"), "{{part}}"),),
        ),
        Panel("Spending in US dollars per hour", "currencyUSD", ((spent, "{{kind}}"),)),
        Panel(
            "Cost events not recorded yet",
            "short",
            ((_sum("hocket_cost_events_pending", NAMESPACE, "container, kind"), "{{container}} {{kind}}"),),
        ),
        Panel("Ready pods", "short", ((_sum("hocket_ready", NAMESPACE, "container"), "{{container}}"),)),
        Panel(
            "Calls let through without a limit",
            "ops",
            ((_rate("hocket_limiter_unavailable_total", NAMESPACE, "container"), "{{container}}"),),
        ),
        Panel(
            "Pods wanted by the autoscalers",
            "short",
            (
                (
                    _sum("kube_horizontalpodautoscaler_status_desired_replicas", NAMESPACE, "horizontalpodautoscaler"),
                    "{{horizontalpodautoscaler}}",
                ),
            ),
        ),
    ]


def _sum(metric: str, at: str, by: str = "") -> str:
    return f"sum by ({by}) ({metric}{{{at}}})" if by else f"sum({metric}{{{at}}})"


def _rate(metric: str, at: str, by: str = "") -> str:
    rate = f"rate({metric}{{{at}}}[5m])"
    return f"sum by ({by}) ({rate})" if by else f"sum({rate})"


def _quantiles(metric: str, at: str, by: str = "") -> tuple[tuple[str, str], ...]:
    groups, legend = (f"le, {by}", f" {{{{{by}}}}}") if by else ("le", "")
    rates = f"sum by ({groups}) (rate({metric}_bucket{{{at}}}[5m]))"
    return tuple((f"histogram_quantile({q}, {rates})", f"p{int(q * 100)}{legend}") for q in (0.5, 0.95))


def _every_service(chart: str, noun: str, at: str) -> list[Panel]:
    rpc = f"hocket_{noun}_rpc"
    found = [
        Panel("RPCs by code", "ops", ((_rate(f"{rpc}_calls_total", at, "code"), "{{code}}"),)),
        Panel("Duration of RPCs", "s", _quantiles(f"{rpc}_duration_seconds", at, "method")),
        Panel("RPCs in flight", "short", ((_sum(f"{rpc}_in_flight", at, "method"), "{{method}}"),)),
        Panel("Ready by pod", "short", ((_sum("hocket_ready", at, "pod"), "{{pod}}"),)),
        Panel(
            "Dependencies ready",
            "short",
            ((f"min by (dependency) (hocket_dependency_ready{{{at}}})", "{{dependency}}"),),
        ),
        Panel(
            "Versions",
            "short",
            ((f"count by (version, revision) (hocket_build_info{{{at}}})", "{{version}} {{revision}}"),),
        ),
        Panel(
            "Time until certificates expire",
            "s",
            (
                (
                    f"min by (certificate) (hocket_certificate_expiry_timestamp_seconds{{{at}}}) - time()",
                    "{{certificate}}",
                ),
            ),
        ),
    ]
    if chart in CALLS_RATELIMIT:
        limited = (_rate("hocket_limiter_unavailable_total", at, "operation"), "{{operation}}")
        found.append(Panel("Calls let through without a limit", "ops", (limited,)))
    if chart in RECORDS_COSTS:
        found.append(
            Panel(
                "Cost events",
                "short",
                (
                    (_sum("hocket_cost_events_pending", at, "kind"), "pending {{kind}}"),
                    (_rate("hocket_cost_events_recorded_total", at, "kind"), "recorded per second {{kind}}"),
                    (_rate("hocket_cost_events_lost_total", at, "kind"), "lost per second {{kind}}"),
                ),
            )
        )
    return found


def _media_gateway(at: str) -> list[Panel]:
    noun = "hocket_media_gateway"
    return [
        Panel(
            "Rooms",
            "short",
            ((_sum("livekit_active_rooms", at, "pod"), "{{pod}}"), (_sum(f"{noun}_rooms_max", at), "capacity")),
        ),
        Panel("Time to the answer", "s", _quantiles(f"{noun}_turn_seconds", at)),
        Panel("Turns by outcome", "ops", ((_rate(f"{noun}_turns_total", at, "outcome"), "{{outcome}}"),)),
        Panel("Turns without a service", "ops", ((_rate(f"{noun}_degraded_turns_total", at, "part"), "{{part}}"),)),
        Panel("Time until the agent joins", "s", _quantiles(f"{noun}_agent_join_seconds", at)),
        Panel(
            "Dispatches",
            "ops",
            (
                (_rate(f"{noun}_dispatches_total", at, "cause"), "{{cause}}"),
                (_rate(f"{noun}_agents_missing_total", at), "agent missing"),
            ),
        ),
        Panel("Jobs by outcome", "ops", ((_rate(f"{noun}_jobs_total", at, "outcome"), "{{outcome}}"),)),
    ]


def _speech(at: str) -> list[Panel]:
    noun = "hocket_speech"
    return [
        Panel("Open streams", "short", ((_sum(f"{noun}_streams_open", at, "rpc"), "{{rpc}}"),)),
        Panel("First transcript", "s", _quantiles(f"{noun}_first_transcript_seconds", at, "engine")),
        Panel("Final transcript", "s", _quantiles(f"{noun}_final_transcript_seconds", at, "engine")),
        Panel("First audio", "s", _quantiles(f"{noun}_first_audio_seconds", at, "engine")),
        Panel(
            "Errors of engines",
            "ops",
            ((_rate(f"{noun}_engine_errors_total", at, "engine, code"), "{{engine}} {{code}}"),),
        ),
    ]


def _vision(at: str) -> list[Panel]:
    noun = "hocket_vision"
    return [
        Panel("Offers by verdict", "ops", ((_rate(f"{noun}_offers_total", at, "verdict"), "{{verdict}}"),)),
        Panel("Offers refused", "ops", ((_rate(f"{noun}_offers_refused_total", at, "reason"), "{{reason}}"),)),
        Panel("Time of a batch", "s", _quantiles(f"{noun}_batch_seconds", at)),
        Panel("Open streams", "short", ((_sum(f"{noun}_streams_open", at, "policy"), "{{policy}}"),)),
        Panel("Keyframes", "ops", ((_rate(f"{noun}_keyframes_total", at, "outcome"), "{{outcome}}"),)),
    ]


def _llm_router(at: str) -> list[Panel]:
    noun = "hocket_llm_router"
    return [
        Panel("Answers in flight", "short", ((_sum(f"{noun}_answers_in_flight", at, "pod"), "{{pod}}"),)),
        Panel("First token", "s", _quantiles(f"{noun}_first_token_seconds", at, "tier")),
        Panel("Requests by tier", "ops", ((_rate(f"{noun}_routes_total", at, "tier"), "{{tier}}"),)),
        Panel(
            "Attempts",
            "ops",
            ((_rate(f"{noun}_attempts_total", at, "model, outcome"), "{{model}} {{outcome}}"),),
        ),
        Panel(
            "Open circuit breakers",
            "short",
            ((f"max by (model) ({noun}_circuit_breaker_open{{{at}}})", "{{model}}"),),
        ),
        Panel("Tokens", "ops", ((_rate(f"{noun}_tokens_total", at, "kind"), "{{kind}}"),)),
        Panel(
            "Spending in US dollars per hour",
            "currencyUSD",
            ((f"{_rate(f'{noun}_cost_micro_usd_total', at, 'model')} * 3600 / 1000000", "{{model}}"),),
        ),
    ]


def _rag(at: str) -> list[Panel]:
    noun = "hocket_rag"
    return [
        Panel("Searches by outcome", "ops", ((_rate(f"{noun}_queries_total", at, "outcome"), "{{outcome}}"),)),
        Panel("Stages of a search", "s", _quantiles(f"{noun}_search_stage_seconds", at, "stage")),
        Panel("Skipped stages", "ops", ((_rate(f"{noun}_search_degraded_steps_total", at, "stage"), "{{stage}}"),)),
        Panel(
            "Query vectors found in", "ops", ((_rate(f"{noun}_vector_cache_lookups_total", at, "found"), "{{found}}"),)
        ),
        Panel(
            "Ingested documents",
            "ops",
            ((_rate(f"{noun}_ingested_documents_total", at, "outcome"), "{{outcome}}"),),
        ),
    ]


def _ratelimit(at: str) -> list[Panel]:
    noun = "hocket_ratelimit"
    return [
        Panel(
            "Decisions",
            "ops",
            ((_rate(f"{noun}_decisions_total", at, "limit, outcome"), "{{limit}} {{outcome}}"),),
        ),
        Panel("Calls to Redis", "s", _quantiles(f"{noun}_redis_duration_seconds", at, "command")),
        Panel(
            "Decisions by local shares", "ops", ((_rate(f"{noun}_degraded_total", at, "operation"), "{{operation}}"),)
        ),
        Panel("Leases", "ops", ((_rate(f"{noun}_leases_total", at, "outcome"), "{{outcome}}"),)),
        Panel("Cost events", "ops", ((_rate(f"{noun}_cost_events_total", at, "outcome"), "{{outcome}}"),)),
        Panel(
            "Spending in US dollars per hour",
            "currencyUSD",
            ((f"{_rate(f'{noun}_cost_micro_usd_total', at, 'kind')} * 3600 / 1000000", "{{kind}}"),),
        ),
    ]


_OWN: dict[str, Callable[[str], list[Panel]]] = {
    "media-gateway": _media_gateway,
    "speech": _speech,
    "vision": _vision,
    "llm-router": _llm_router,
    "rag": _rag,
    "ratelimit": _ratelimit,
}
