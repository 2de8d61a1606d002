"""The metric that each service scales on has a value before the first call: an autoscaler has nothing to wait for."""

from __future__ import annotations

import subprocess
import sys

import pytest

SIGNALS = {
    "media_gateway": ["livekit_active_rooms 0.0"],
    "speech": ['hocket_speech_streams_open{rpc="transcribe"} 0.0', 'hocket_speech_streams_open{rpc="synthesize"} 0.0'],
    "vision": ['hocket_vision_offers_total{cause="first",policy="cells",verdict="keep"} 0.0'],
    "llm_router": ["hocket_llm_router_answers_in_flight 0.0"],
    "rag": ['hocket_rag_queries_total{outcome="answered"} 0.0'],
}
# In an interpreter of its own: other tests count in this one.
SCRAPE = "import services.{0}.telemetry, prometheus_client as p; print(p.generate_latest().decode())"


@pytest.mark.parametrize("service", SIGNALS)
def test_a_service_without_calls_exposes_its_scale_signal(service):
    command = [sys.executable, "-c", SCRAPE.format(service)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert set(SIGNALS[service]) <= set(text.splitlines())
