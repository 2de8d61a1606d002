"""Exemplars of latency histograms."""

from __future__ import annotations

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from prometheus_client import CollectorRegistry

from hocket.chassis.telemetry import LatencyHistogram


def exemplars(sampler: Sampler | None) -> list[dict[str, str]]:
    """Return the exemplars after one observation, in a span if there is a sampler, and the trace id."""
    registry = CollectorRegistry()
    seconds = LatencyHistogram("probe_seconds", "Of this test.", ["stage"], registry=registry)
    if sampler is None:
        seconds.labels("one").observe(0.1)
    else:
        with TracerProvider(sampler=sampler).get_tracer("t").start_as_current_span("span") as span:
            seconds.labels("one").observe(0.1)
        context = span.get_span_context()
        assert context.is_valid
    return [s.exemplar.labels for metric in registry.collect() for s in metric.samples if s.exemplar]


def test_an_observation_in_a_sampled_span_carries_its_trace_id():
    (labels,) = exemplars(ALWAYS_ON)
    assert list(labels) == ["trace_id"]
    assert len(labels["trace_id"]) == 32


def test_no_exemplar_without_a_sampled_span():
    assert exemplars(None) == exemplars(ALWAYS_OFF) == []
