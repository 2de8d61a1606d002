"""The alerts of each chart, as data for scripts/gen_monitoring.py; docs/runbooks.md has a section for each.

Expressions select a service by `container`, the label that PodMonitor and ServiceMonitor set to the container's name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

CHARTS = {
    "media-gateway": "media_gateway",
    "speech": "speech",
    "vision": "vision",
    "llm-router": "llm_router",
    "rag": "rag",
    "ratelimit": "ratelimit",
}
CALLS_RATELIMIT = ("media-gateway", "speech", "llm-router", "rag")
RECORDS_COSTS = ("speech", "llm-router", "rag")
DAY_S = 86_400


class Alert(NamedTuple):
    """One alert.

    Attributes:
        name: Name; the heading of its runbook.
        expression: PromQL.
        minutes: Minutes for which it must hold.
        severity: critical (people wait or money is lost) or warning.
        summary: One line with the labels of the alert.
    """

    name: str
    expression: str
    minutes: int
    severity: str
    summary: str


def alerts(chart: str) -> list[Alert]:
    """Return the alerts of a chart."""
    return [*_every_service(chart, CHARTS[chart]), *_scaling(chart), *_ratelimit_and_costs(chart), *OWN[chart]]


def _every_service(chart: str, noun: str) -> Iterator[Alert]:
    at = f'container="{chart}"'
    yield Alert(
        "HocketServiceDown",
        f"absent(hocket_ready{{{at}}} == 1)",
        2,
        "critical",
        f"No pod of {chart} is ready.",
    )
    yield Alert(
        "HocketPodNotReady",
        f"hocket_ready{{{at}}} == 0 unless on (namespace, pod) kube_pod_deletion_timestamp",
        10,
        "warning",
        f"{chart} pod {{{{ $labels.pod }}}} is not ready and is not being deleted.",
    )
    yield Alert(
        "HocketDependencyDown",
        f"min by (namespace, dependency) (hocket_dependency_ready{{{at}}}) == 0",
        5,
        "critical",
        f"{chart}: the readiness check of {{{{ $labels.dependency }}}} fails.",
    )
    yield Alert(
        "HocketRpcErrors",
        f"sum by (namespace, code) (rate(hocket_{noun}_rpc_calls_total{{{at},"
        'code=~"INTERNAL|UNAVAILABLE|DATA_LOSS"}[5m])) > 0.1',
        5,
        "warning",
        f"{chart} answers with {{{{ $labels.code }}}} {{{{ $value | humanize }}}} times per second.",
    )
    for days, severity in ((7, "warning"), (1, "critical")):
        yield Alert(
            "HocketCertificateExpiring",
            f"min by (namespace, certificate) (hocket_certificate_expiry_timestamp_seconds{{{at}}}) - time()"
            f" < {days} * {DAY_S}",
            15,
            severity,
            f"{chart}: certificate {{{{ $labels.certificate }}}} expires in {{{{ $value | humanizeDuration }}}}.",
        )


def _scaling(chart: str) -> Iterator[Alert]:
    named = f'horizontalpodautoscaler=~".*{chart}.*"'
    yield Alert(
        "HocketAutoscalerLostMetric",
        f'kube_horizontalpodautoscaler_status_condition{{{named},condition="ScalingActive",status="false"}} == 1',
        10,
        "warning",
        f"The autoscaler of {chart} has no metric and keeps its number of pods.",
    )
    yield Alert(
        "HocketAutoscalerAtMaximum",
        f"kube_horizontalpodautoscaler_status_desired_replicas{{{named}}}"
        f" >= kube_horizontalpodautoscaler_spec_max_replicas{{{named}}}"
        f" > kube_horizontalpodautoscaler_spec_min_replicas{{{named}}}",
        15,
        "warning",
        f"The autoscaler of {chart} wants its maximum of pods.",
    )


def _ratelimit_and_costs(chart: str) -> Iterator[Alert]:
    at = f'container="{chart}"'
    if chart in CALLS_RATELIMIT:
        yield Alert(
            "HocketLimiterUnavailable",
            f"sum by (namespace, operation) (rate(hocket_limiter_unavailable_total{{{at}}}[5m])) > 0",
            5,
            "critical",
            f"{chart} lets calls through unlimited: ratelimit does not answer {{{{ $labels.operation }}}}.",
        )
    if chart in RECORDS_COSTS:
        pending = f"sum by (namespace, kind) (hocket_cost_events_pending{{{at}}})"
        recorded = f"sum by (namespace, kind) (rate(hocket_cost_events_recorded_total{{{at}}}[5m]))"
        yield Alert(
            "HocketCostEventsPending",
            f"({pending} > 0 and {recorded} == 0) or {pending} > 2000",
            10,
            "warning",
            f"{chart} holds {{{{ $value }}}} cost events of kind {{{{ $labels.kind }}}} that the ledger does not have.",
        )
        yield Alert(
            "HocketCostEventsLost",
            f"sum by (namespace, kind) (increase(hocket_cost_events_lost_total{{{at}}}[15m])) > 0",
            0,
            "critical",
            f"{chart} gave up {{{{ $value | humanize }}}} cost events of kind {{{{ $labels.kind }}}}.",
        )


def _p95(metric: str, at: str, window: str = "10m", by: str = "") -> str:
    return f"histogram_quantile(0.95, sum by (namespace, le{by}) (rate({metric}_bucket{{{at}}}[{window}])))"


_GATEWAY = 'container="media-gateway"'
_SPEECH = 'container="speech"'
_ROUTER = 'container="llm-router"'
_RAG = 'container="rag"'
_VISION = 'container="vision"'
_RATELIMIT = 'container="ratelimit"'
OWN: dict[str, list[Alert]] = {
    "media-gateway": [
        Alert(
            "HocketAgentsMissing",
            f"sum by (namespace) (increase(hocket_media_gateway_agents_missing_total{{{_GATEWAY}}}[10m])) > 0",
            0,
            "critical",
            "{{ $value | humanize }} dispatched agents did not join their room in time.",
        ),
        Alert(
            "HocketJobsRefused",
            f"sum by (namespace, outcome) (rate(hocket_media_gateway_jobs_total{{{_GATEWAY},"
            'outcome=~"full|limited|malformed"}[10m])) > 0',
            10,
            "warning",
            "Workers refuse rooms: {{ $labels.outcome }}.",
        ),
        Alert(
            "HocketRoomsNearCapacity",
            f"sum by (namespace) (livekit_active_rooms{{{_GATEWAY}}})"
            f" / sum by (namespace) (hocket_media_gateway_rooms_max{{{_GATEWAY}}}) > 0.85",
            10,
            "warning",
            "{{ $value | humanizePercentage }} of the room capacity is used.",
        ),
        Alert(
            "HocketTurnsDegraded",
            f"sum by (namespace, part) (rate(hocket_media_gateway_degraded_turns_total{{{_GATEWAY}}}[10m]))"
            f" / on (namespace) group_left () sum by (namespace)"
            f" (rate(hocket_media_gateway_turns_total{{{_GATEWAY}}}[10m])) > 0.05",
            5,
            "critical",
            "{{ $value | humanizePercentage }} of the turns went on without {{ $labels.part }}.",
        ),
        Alert(
            "HocketTurnsSlow",
            f"{_p95('hocket_media_gateway_turn_seconds', _GATEWAY)} > 1.5",
            10,
            "warning",
            "The 95th percentile of the time to an answer is {{ $value | humanizeDuration }}.",
        ),
        Alert(
            "HocketGatewayFailsOpen",
            f"sum by (namespace, dependency) (rate(hocket_media_gateway_fail_open_total{{{_GATEWAY}}}[5m])) > 0",
            5,
            "warning",
            "The gateway goes on without {{ $labels.dependency }}.",
        ),
    ],
    "speech": [
        Alert(
            "HocketSpeechEngineErrors",
            f"sum by (namespace, engine, code) (rate(hocket_speech_engine_errors_total{{{_SPEECH},"
            'code!="INVALID_ARGUMENT"}[5m])) > 0.05',
            5,
            "critical",
            "{{ $labels.engine }} fails with {{ $labels.code }} {{ $value | humanize }} times per second.",
        ),
        Alert(
            "HocketFirstAudioSlow",
            f"{_p95('hocket_speech_first_audio_seconds', _SPEECH, by=', engine')} > 1",
            10,
            "warning",
            "The first audio of {{ $labels.engine }} takes {{ $value | humanizeDuration }} at the 95th percentile.",
        ),
        Alert(
            "HocketFinalTranscriptSlow",
            f"{_p95('hocket_speech_final_transcript_seconds', _SPEECH, by=', engine')} > 2",
            10,
            "warning",
            "{{ $labels.engine }} takes {{ $value | humanizeDuration }} to a final transcript (95th percentile).",
        ),
    ],
    "llm-router": [
        Alert(
            "HocketModelFailures",
            f"sum by (namespace, model) (rate(hocket_llm_router_attempts_total{{{_ROUTER},"
            'outcome="failed"}[5m])) > 0.2',
            5,
            "warning",
            "Calls to {{ $labels.model }} fail {{ $value | humanize }} times per second.",
        ),
        Alert(
            "HocketModelBreakerOpen",
            f"min by (namespace, model) (hocket_llm_router_circuit_breaker_open{{{_ROUTER}}}) == 1",
            5,
            "critical",
            "The circuit breaker of {{ $labels.model }} is open on every replica.",
        ),
        Alert(
            "HocketFirstTokenSlow",
            f"{_p95('hocket_llm_router_first_token_seconds', _ROUTER, by=', tier')} > 2",
            10,
            "warning",
            "The first token of tier {{ $labels.tier }} takes {{ $value | humanizeDuration }} at the 95th percentile.",
        ),
        Alert(
            "HocketModelEndOfLife",
            f"min by (namespace, model) (hocket_llm_router_model_days_left{{{_ROUTER}}}) < 14",
            0,
            "warning",
            "{{ $labels.model }} leaves service in {{ $value | humanize }} days.",
        ),
        Alert(
            "HocketCostJournalFailures",
            f"sum by (namespace, pod) (increase(hocket_llm_router_journal_failures_total{{{_ROUTER}}}[15m])) > 0",
            0,
            "critical",
            "{{ $labels.pod }} cannot write its journal of running costs.",
        ),
    ],
    "rag": [
        Alert(
            "HocketSearchDegraded",
            f"sum by (namespace, stage) (rate(hocket_rag_search_degraded_steps_total{{{_RAG}}}[10m]))"
            " / on (namespace) group_left ()"
            f" sum by (namespace) (rate(hocket_rag_queries_total{{{_RAG}}}[10m])) > 0.05",
            5,
            "warning",
            "{{ $value | humanizePercentage }} of the searches skip {{ $labels.stage }}.",
        ),
        Alert(
            "HocketSearchFails",
            f'sum by (namespace) (rate(hocket_rag_queries_total{{{_RAG},outcome="failed"}}[5m])) > 0.05',
            5,
            "critical",
            "Searches fail {{ $value | humanize }} times per second.",
        ),
    ],
    "vision": [
        Alert(
            "HocketOffersRefused",
            f"sum by (namespace, reason) (rate(hocket_vision_offers_refused_total{{{_VISION}}}[5m])) > 1",
            10,
            "warning",
            "Frames are refused for {{ $labels.reason }}.",
        ),
        Alert(
            "HocketKeyframesLost",
            f"sum by (namespace, outcome) (rate(hocket_vision_keyframes_total{{{_VISION},"
            'outcome=~"lost|dropped"}[5m])) > 0',
            10,
            "warning",
            "Keyframes are not stored: {{ $labels.outcome }}.",
        ),
    ],
    "ratelimit": [
        Alert(
            "HocketRedisDown",
            f'min by (namespace) (hocket_ratelimit_dependency_up{{{_RATELIMIT},dependency="redis"}}) == 0',
            1,
            "critical",
            "ratelimit does not reach Redis and decides by local shares.",
        ),
        Alert(
            "HocketPostgresDown",
            f'min by (namespace) (hocket_ratelimit_dependency_up{{{_RATELIMIT},dependency="postgres"}}) == 0',
            2,
            "critical",
            "ratelimit does not reach Postgres and records no costs.",
        ),
        Alert(
            "HocketLimitsDegraded",
            f"sum by (namespace, operation) (rate(hocket_ratelimit_degraded_total{{{_RATELIMIT}}}[5m])) > 0",
            5,
            "critical",
            "{{ $labels.operation }} is decided by each replica on its own.",
        ),
    ],
}
