"""The metrics endpoint: exposition formats, build, readiness of each dependency, exemplars."""

from __future__ import annotations

import platform
import re
from collections.abc import AsyncIterator
from importlib.metadata import version

import aiohttp
import pytest
from prometheus_client import Histogram
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_metrics

from hocket.chassis.ops import Readiness, start_ops_server

OPEN_METRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
SECONDS = Histogram("hocket_ops_probe_seconds", "Of this test.")


class Ops:
    """An operations port with one dependency that a test takes away."""

    def __init__(self) -> None:
        self.present = True
        self.readiness = Readiness({"store": self.check})
        self.port = 0

    async def check(self) -> None:
        if not self.present:
            raise ConnectionError("gone")

    async def metrics(self, accept: str = "") -> tuple[str, str]:
        url = f"http://127.0.0.1:{self.port}/metrics"
        headers = {"Accept": accept} if accept else {}
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
            assert response.status == 200
            return response.headers["Content-Type"], await response.text()


@pytest.fixture
async def ops() -> AsyncIterator[Ops]:
    made = Ops()
    runner, made.port = await start_ops_server("127.0.0.1", 0, made.readiness)
    yield made
    await runner.cleanup()


def value(text: str, sample: str) -> float:
    (found,) = re.findall(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
    return float(found)


async def test_the_format_follows_the_accept_header(ops):
    SECONDS.observe(0.1, {"trace_id": "0af7651916cd43dd8448eb211c80319c"})
    kind, text = await ops.metrics()
    assert kind.startswith("text/plain; version=0.0.4")
    assert list(plain_metrics(text))
    assert "trace_id" not in text
    kind, text = await ops.metrics(OPEN_METRICS)
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    exemplars = [s.exemplar.labels for f in open_metrics(text) for s in f.samples if s.exemplar]
    assert {"trace_id": "0af7651916cd43dd8448eb211c80319c"} in exemplars


@pytest.mark.parametrize("accept", ["", OPEN_METRICS])
async def test_no_creation_times_are_exposed(ops, accept):
    SECONDS.observe(0.1)
    assert "_created" not in (await ops.metrics(accept))[1]


async def test_the_build_is_a_metric(ops, monkeypatch):
    monkeypatch.setenv("HOCKET_REVISION", "d202ce0")
    runner, ops.port = await start_ops_server("127.0.0.1", 0, ops.readiness)
    text = (await ops.metrics())[1]
    await runner.cleanup()
    labels = f'python="{platform.python_version()}",revision="d202ce0",version="{version("hocket")}"'
    assert value(text, f"hocket_build_info{{{labels}}}") == 1


async def test_readiness_of_the_service_and_of_each_dependency_are_metrics(ops):
    await ops.readiness.refresh()
    text = (await ops.metrics())[1]
    assert (value(text, "hocket_ready"), value(text, 'hocket_dependency_ready{dependency="store"}')) == (1, 1)
    ops.present = False
    await ops.readiness.refresh()
    text = (await ops.metrics())[1]
    assert (value(text, "hocket_ready"), value(text, 'hocket_dependency_ready{dependency="store"}')) == (0, 0)
    ops.present = True
    await ops.readiness.refresh()
    ops.readiness.draining = True
    text = (await ops.metrics())[1]
    assert (value(text, "hocket_ready"), value(text, 'hocket_dependency_ready{dependency="store"}')) == (0, 1)
