"""VoyageEmbedder against a mocked HTTP transport: requests, errors and recorded costs."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from hocket.chassis.errors import FailedPrecondition, Unavailable
from services.rag.adapters.voyage_embedder import VoyageEmbedder
from tests.fakes.recorded_spans import record_spans, traceparent


class RecordedCosts:
    def __init__(self) -> None:
        self.events = []

    def record(self, **event):
        self.events.append(event)


def embedder(answer, costs, key="pa-key") -> VoyageEmbedder:
    return VoyageEmbedder(
        key,
        costs,
        model="voyage-4-lite",
        price_micro_usd=20_000,
        dimensions=256,
        timeout_s=1,
        client=httpx.AsyncClient(transport=httpx.MockTransport(answer)),
    )


def rows(*vectors, tokens=7):
    data = [{"index": i, "embedding": vector} for i, vector in vectors]
    return httpx.Response(200, json={"data": data, "usage": {"total_tokens": tokens}})


@pytest.mark.parametrize(
    ("key", "host", "query", "kind"),
    [("pa-key", "api.voyageai.com", True, "query"), ("al-key", "ai.mongodb.com", False, "document")],
)
async def test_request_holds_model_dimensions_and_input_type(key, host, query, kind):
    seen = []

    def answer(request):
        seen.append(request)
        return rows((1, [0.0, 1.0]), (0, [1.0, 0.0]))

    vectors = await embedder(answer, RecordedCosts(), key).embed("acme", ["a", "b"], query=query)
    assert (vectors.model, vectors.values) == ("voyage-4-lite@256", [[1.0, 0.0], [0.0, 1.0]])
    assert (host, f"Bearer {key}") == (seen[0].url.host, seen[0].headers["authorization"])
    assert {
        "model": "voyage-4-lite",
        "output_dimension": 256,
        "truncation": True,
        "input": ["a", "b"],
        "input_type": kind,
    } == json.loads(seen[0].content)


async def test_the_request_carries_the_trace_of_its_span(monkeypatch):
    spans, seen = record_spans(monkeypatch, "services.rag.adapters.voyage_embedder"), []

    def answer(request):
        seen.append(request)
        return rows((0, [1.0, 0.0]))

    await embedder(answer, RecordedCosts()).embed("acme", ["a"], query=True)
    (span,) = spans.get_finished_spans()
    assert seen[0].headers["traceparent"] == traceparent(span)
    assert dict(span.attributes) == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "voyage",
        "gen_ai.request.model": "voyage-4-lite",
        "gen_ai.usage.input_tokens": 7,
    }


async def test_each_call_is_recorded_once_with_the_vendors_token_count():
    costs = RecordedCosts()
    await embedder(lambda _: rows((0, [1.0]), tokens=1_000_000), costs).embed("acme", ["a"], query=True)
    assert costs.events == [
        {"provider": "voyage", "model": "voyage-4-lite", "tokens": 1_000_000, "cost_micro_usd": 20_000, "outcome": "ok"}
    ]


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (httpx.Response(401), FailedPrecondition),
        (httpx.Response(403), FailedPrecondition),
        (httpx.Response(429, headers={"retry-after": "3"}), Unavailable),
        (httpx.Response(503), Unavailable),
        (httpx.Response(200, text="<html>"), Unavailable),
        (httpx.Response(200, json={"data": [], "usage": {"total_tokens": -1}}), Unavailable),
    ],
)
async def test_error_response_raises_and_is_not_recorded(response, kind):
    costs = RecordedCosts()
    with pytest.raises(kind) as caught:
        await embedder(lambda _: response, costs).embed("acme", ["a"], query=True)
    assert costs.events == []
    if response.status_code == 429:
        assert caught.value.retry_after_s == 3


async def test_response_with_missing_vectors_raises_and_is_recorded():
    costs = RecordedCosts()
    with pytest.raises(Unavailable):
        await embedder(lambda _: rows((1, [1.0])), costs).embed("acme", ["a"], query=True)
    assert [event["outcome"] for event in costs.events] == ["ok"]


@pytest.mark.parametrize(("failure", "recorded"), [(httpx.ConnectError, []), (httpx.ReadTimeout, ["cancelled"])])
async def test_only_a_call_that_reached_the_vendor_is_recorded(failure, recorded):
    def answer(request):
        raise failure("no", request=request)

    costs = RecordedCosts()
    with pytest.raises(Unavailable):
        await embedder(answer, costs).embed("acme", ["a"], query=True)
    assert recorded == [event["outcome"] for event in costs.events]


async def test_cancelled_call_is_recorded_as_cancelled():
    called = asyncio.Event()

    async def answer(request):
        called.set()
        await asyncio.Event().wait()

    costs = RecordedCosts()
    task = asyncio.create_task(embedder(answer, costs).embed("acme", ["x" * 40], query=True))
    await called.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [(event["outcome"], event["tokens"]) for event in costs.events] == [("cancelled", 10)]
