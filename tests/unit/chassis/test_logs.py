"""JSON logs: trace id, pii keys, levels, tracebacks, and records of libraries."""

from __future__ import annotations

import json
import logging
import sys
import threading

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider

from hocket.chassis.logs import set_up_logs


@pytest.fixture(autouse=True)
def _restored():
    root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook, sys.unraisablehook)
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks


def lines(capsys) -> list[dict[str, object]]:
    """Return what was logged; each line must be a JSON object."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def logged(capsys, *, log_content: bool, level: str = "INFO") -> list[dict[str, object]]:
    set_up_logs("hocket-probe", level=level, log_content=log_content)
    log = structlog.get_logger()
    log.debug("detail")
    with TracerProvider().get_tracer("t").start_as_current_span("span"):
        log.info("turn ended", **{"hocket.pii.transcript": "my secret plan", "piiless": 1})
    return lines(capsys)


def test_values_under_pii_keys_are_dropped_by_default(capsys):
    (event,) = logged(capsys, log_content=False)
    assert (
        event["event"],
        event["level"],
        event["service"],
        event["piiless"],
    ) == ("turn ended", "info", "hocket-probe", 1)
    assert len(str(event["trace_id"])) == 32
    assert "my secret plan" not in json.dumps(event)


def test_values_under_pii_keys_are_kept_if_enabled(capsys):
    (event,) = logged(capsys, log_content=True)
    assert event["hocket.pii.transcript"] == "my secret plan"


def test_events_below_the_level_are_dropped(capsys):
    assert [e["event"] for e in logged(capsys, log_content=False, level="DEBUG")] == ["detail", "turn ended"]


def test_a_traceback_holds_no_values_of_variables(capsys):
    set_up_logs("hocket-probe", level="INFO", log_content=False)
    token = "Bearer of-a-tenant"
    try:
        int("broken")
    except ValueError:
        structlog.get_logger().exception("unexpected error")
        logging.getLogger("grpc").exception("in a library")
    text = capsys.readouterr().err
    assert [json.loads(line)["exception"][0]["exc_type"] for line in text.splitlines()] == ["ValueError", "ValueError"]
    assert token not in text


@pytest.mark.parametrize("name", ["livekit.agents", "grpc._cython.cygrpc", "asyncio", "openai"])
def test_records_of_libraries_are_json_with_trace_and_context(capsys, name):
    set_up_logs("hocket-probe", level="INFO", log_content=False)
    with (
        TracerProvider().get_tracer("t").start_as_current_span("span"),
        structlog.contextvars.bound_contextvars(tenant_id="acme"),
    ):
        extra = {"job_id": "AJ_1", "user_transcript": "my secret plan"}
        logging.getLogger(name).warning("took %s\n  s", 1.5, extra=extra)
        logging.getLogger(name).info("chatter")
    (event,) = lines(capsys)
    assert (event["event"], event["logger"], event["level"]) == ("took 1.5\n  s", name, "warning")
    assert (event["service"], event["tenant_id"], event["job_id"]) == ("hocket-probe", "acme", "AJ_1")
    assert len(str(event["trace_id"])) == 32
    assert "user_transcript" not in event


def test_records_of_libraries_keep_all_values_where_content_is_logged(capsys):
    set_up_logs("hocket-probe", level="INFO", log_content=True)
    logging.getLogger("livekit.agents").warning("heard", extra={"user_transcript": "my secret plan"})
    assert lines(capsys)[0]["user_transcript"] == "my secret plan"


def test_the_level_holds_for_libraries_too(capsys):
    set_up_logs("hocket-probe", level="ERROR", log_content=False)
    logging.getLogger("livekit.agents").warning("late")
    assert lines(capsys) == []


def test_records_are_written_once_whatever_handled_them_before(capsys, monkeypatch):
    # livekit-agents has such a handler in a room's process; another set-up may have run, too.
    forwarded: list[logging.LogRecord] = []
    other = logging.Handler()
    monkeypatch.setattr(other, "emit", forwarded.append)
    logging.getLogger().addHandler(other)
    for _ in range(2):
        set_up_logs("hocket-probe", level="INFO", log_content=False)
    logging.getLogger("livekit.agents").warning("once")
    assert len(lines(capsys)) == 1
    assert forwarded == []
