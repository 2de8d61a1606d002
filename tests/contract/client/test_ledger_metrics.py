"""Pending, recorded and lost cost events by kind, as Prometheus sees them."""

from __future__ import annotations

from hocket.ratelimit.v1 import ledger_pb2 as pb
from prometheus_client import REGISTRY

from hocket.client.ledger_metrics import CostEventMetrics
from tests.contract.client.ledger.test_recorder import ACME, FakeLedger, recorder, serving
from tests.fakes.waiting import until


def counts(kind: str) -> tuple[float, ...]:
    """Pending, recorded and lost events of a kind."""
    names = ("pending", "recorded_total", "lost_total")
    return tuple(REGISTRY.get_sample_value(f"hocket_cost_events_{name}", {"kind": kind}) or 0.0 for name in names)


def since(before: tuple[float, ...], kind: str) -> tuple[float, ...]:
    return tuple(now - then for now, then in zip(counts(kind), before, strict=True))


def test_every_kind_has_a_series_before_the_first_event():
    CostEventMetrics()
    for kind in ("llm", "stt", "tts", "embedding", "rerank"):
        for name in ("pending", "recorded_total", "lost_total"):
            assert REGISTRY.get_sample_value(f"hocket_cost_events_{name}", {"kind": kind}) is not None


async def test_events_are_pending_until_the_ledger_has_them_or_they_are_lost():
    llm, tts = counts("llm"), counts("tts")
    ledger = FakeLedger()
    async with serving(ledger) as target:
        costs = recorder(target, linger_s=0.2, observer=CostEventMetrics(), events_max=3)
        for kind in (pb.COST_KIND_LLM, pb.COST_KIND_LLM, pb.COST_KIND_TTS):
            assert costs.record(pb.CostEvent(kind=kind), token=ACME)
        assert (since(llm, "llm"), since(tts, "tts")) == ((2, 0, 0), (1, 0, 0))
        assert not costs.record(pb.CostEvent(kind=pb.COST_KIND_LLM), token=ACME)
        await until(lambda: costs.recorded == 3)
        assert (since(llm, "llm"), since(tts, "tts")) == ((0, 2, 1), (0, 1, 0))
        assert costs.record(pb.CostEvent(kind=pb.COST_KIND_LLM, model="bad"), token=ACME)
        await costs.close()
    assert since(llm, "llm") == (0, 2, 2)


async def test_events_of_an_earlier_process_are_pending_from_the_start(tmp_path):
    async with serving(FakeLedger()) as target:
        pass
    gone = recorder(target, drain_s=0.1, journal_file=tmp_path / "costs")
    gone.record(pb.CostEvent(kind=pb.COST_KIND_STT), token=ACME)
    await gone.close()
    before = counts("stt")
    async with serving(FakeLedger(), port=int(target.rpartition(":")[2])):
        async with recorder(target, journal_file=tmp_path / "costs", observer=CostEventMetrics()) as costs:
            assert since(before, "stt") == (1, 0, 0)
            await until(lambda: costs.recorded == 1)
    assert since(before, "stt") == (0, 1, 0)
