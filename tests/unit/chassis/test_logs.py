"""JSON logs: trace id, pii keys, levels and tracebacks."""

from __future__ import annotations

import json

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider

from hocket.chassis import telemetry


@pytest.fixture(autouse=True)
def _restored():
    yield
    structlog.reset_defaults()


def logged(capsys, *, log_content: bool, level: str = "INFO") -> list[dict[str, object]]:
    telemetry.set_up_logs("hocket-probe", level=level, log_content=log_content)
    log = structlog.get_logger()
    log.debug("detail")
    with TracerProvider().get_tracer("t").start_as_current_span("span"):
        log.info("turn ended", **{"hocket.pii.transcript": "my secret plan", "piiless": 1})
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_values_under_pii_keys_are_dropped_by_default(capsys):
    (event,) = logged(capsys, log_content=False)
    assert (
        event["event"],
        event["level"],
        event["service"],
        event["piiless"],
    ) == ("turn ended", "info", "hocket-probe", 1)
    assert len(event["trace_id"]) == 32
    assert "my secret plan" not in json.dumps(event)


def test_values_under_pii_keys_are_kept_if_enabled(capsys):
    (event,) = logged(capsys, log_content=True)
    assert event["hocket.pii.transcript"] == "my secret plan"


def test_events_below_the_level_are_dropped(capsys):
    assert [e["event"] for e in logged(capsys, log_content=False, level="DEBUG")] == ["detail", "turn ended"]


def test_a_traceback_holds_no_values_of_variables(capsys):
    telemetry.set_up_logs("hocket-probe", level="INFO", log_content=False)
    token = "Bearer of-a-tenant"
    try:
        int("broken")
    except ValueError:
        structlog.get_logger().exception("unexpected error")
    line = capsys.readouterr().err
    assert json.loads(line)["exception"][0]["exc_type"] == "ValueError"
    assert token not in line
