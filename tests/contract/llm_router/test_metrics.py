"""Metrics of answers over a real gRPC socket."""

from __future__ import annotations

from contextlib import aclosing

from prometheus_client import REGISTRY

from tests.contract.llm_router.test_rpcs import asking, routing, user
from tests.fakes.waiting import DEADLINE_S, until


def in_flight() -> float | None:
    return REGISTRY.get_sample_value("hocket_llm_router_answers_in_flight")


async def test_answers_in_flight_are_counted_until_their_costs_are_recorded(monkeypatch):
    seen: list[float | None] = []

    monkeypatch.setattr("services.llm_router.telemetry.count_cost", lambda *_: seen.append(in_flight()))
    assert in_flight() == 0
    async with routing() as client, aclosing(client.generate(asking(user("Hello")), timeout_s=DEADLINE_S)) as events:
        async for _ in events:
            pass
        await until(lambda: in_flight() == 0)
    assert seen == [1]
