"""Turn reports between processes."""

from __future__ import annotations

from prometheus_client import REGISTRY

from services.media_gateway.adapters import turn_reports
from tests.fakes.waiting import until


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_valid_reports_are_counted_and_malformed_ones_ignored(tmp_path):
    before = sample("hocket_media_gateway_turns_total", tenant_tier="free", outcome="degraded")
    transport = await turn_reports.listen(tmp_path / "turns")
    reporter = turn_reports.TurnReporter(str(tmp_path / "turns"), "free")
    summary = {"interrupted": False, "degraded": ["rag", "nonsense"], "timings_ms": {"e2e": 300}, "heard": "secret"}
    reporter.report(summary)
    lost = turn_reports.TurnReporter(str(tmp_path / "missing"), "free")
    lost.report(summary)
    lost.close()
    reporter._socket.sendto(b"not json", str(tmp_path / "turns"))
    await until(lambda: sample("hocket_media_gateway_turns_total", tenant_tier="free", outcome="degraded") > before)
    assert sample("hocket_media_gateway_degraded_turns_total", part="rag") >= 1
    assert sample("hocket_media_gateway_degraded_turns_total", part="nonsense") == 0
    reporter.close()
    transport.close()
