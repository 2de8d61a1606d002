"""A process exports its spans by its end, with a resource that names it, and waits for no collector that is gone."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
from importlib.metadata import version

import pytest

from hocket.chassis import telemetry
from tests.fakes.otlp_collector import collecting
from tests.fakes.traced_process import work
from tests.fakes.waiting import DEADLINE_S, START_S

TRACED = """
import sys
from opentelemetry import trace
from hocket.chassis import telemetry

telemetry.set_up("hocket-test", level="INFO", log_content=False, otlp_endpoint=sys.argv[1])
tracer = trace.get_tracer("test")
with tracer.start_as_current_span("work"):
    held = tracer.start_span("cancelled")
    with trace.use_span(held):
        tracer.start_span("done").end()
assert len(telemetry._open_spans._spans) == 1
telemetry.end_export({timeout_s})
telemetry.end_export({timeout_s})
"""


def run(script: str, endpoint: str) -> None:
    command = [sys.executable, "-c", script, endpoint]
    subprocess.run(command, check=True, timeout=DEADLINE_S)


def test_spans_are_exported_at_the_end_with_name_version_and_instance():
    with collecting() as collector:
        for _ in range(2):
            run(TRACED.format(timeout_s=DEADLINE_S), collector.endpoint)
    assert collector.orphans() == []
    assert [span.attributes for span in collector.named("cancelled")] == [{"hocket.unfinished": True}] * 2
    first, second = (span.resource for span in collector.named("work"))
    assert (first["service.name"], first["service.version"]) == ("hocket-test", version("hocket"))
    assert len({first["service.instance.id"], second["service.instance.id"]}) == 2


@pytest.mark.parametrize("gone", [True, False], ids=["refuses", "never answers"])
def test_a_collector_that_is_gone_does_not_hold_up_the_end(gone):
    with collecting() as collector:
        collector.freeze()
        # Without the limit, the process ends only when the collector answers or OpenTelemetry gives up after 30 s.
        run(TRACED.format(timeout_s=0.1), "http://127.0.0.1:1" if gone else collector.endpoint)
        assert collector.spans == []


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("end", ["returns", "raises", "exits"])
def test_a_child_process_exports_its_spans_at_each_of_its_ends(method, end):
    with collecting() as collector:
        process = multiprocessing.get_context(method).Process(target=work, args=(collector.endpoint, end))
        process.start()
        process.join(START_S)
        assert process.exitcode == (0 if end == "returns" else 1)
    assert len(collector.named("work")) == 1


def test_the_end_waits_for_the_timeout_at_most(monkeypatch):
    answered, ended = threading.Event(), list[bool]()
    monkeypatch.setattr(telemetry, "_shutdowns", [lambda: ended.append(answered.wait(DEADLINE_S))])
    telemetry.end_export(0.01)
    assert ended == []
    answered.set()
