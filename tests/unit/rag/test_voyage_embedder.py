"""Voyage AI's answers, good and bad, and what is booked for them; the vendor is a function here."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from hocket.chassis.errors import FailedPrecondition, Unavailable
from services.rag.adapters.voyage_embedder import VoyageEmbedder


class Book:
    def __init__(self) -> None:
        self.events = []

    def book(self, **event):
        self.events.append(event)


def embedder(answer, book, key="pa-key") -> VoyageEmbedder:
    return VoyageEmbedder(
        key,
        book,
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
async def test_the_request_names_model_size_and_kind_of_text(key, host, query, kind):
    seen = []

    def answer(request):
        seen.append(request)
        return rows((1, [0.0, 1.0]), (0, [1.0, 0.0]))

    vectors = await embedder(answer, Book(), key).embed("acme", ["a", "b"], query=query)
    assert (vectors.model, vectors.values) == ("voyage-4-lite@256", [[1.0, 0.0], [0.0, 1.0]])
    assert (host, f"Bearer {key}") == (seen[0].url.host, seen[0].headers["authorization"])
    assert {
        "model": "voyage-4-lite",
        "output_dimension": 256,
        "truncation": True,
        "input": ["a", "b"],
        "input_type": kind,
    } == json.loads(seen[0].content)


async def test_each_call_is_booked_once_with_the_vendors_own_count():
    book = Book()
    await embedder(lambda _: rows((0, [1.0]), tokens=1_000_000), book).embed("acme", ["a"], query=True)
    assert book.events == [
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
async def test_a_refusal_is_an_error_of_the_mesh_and_is_not_booked(response, kind):
    book = Book()
    with pytest.raises(kind) as caught:
        await embedder(lambda _: response, book).embed("acme", ["a"], query=True)
    assert book.events == []
    if response.status_code == 429:
        assert caught.value.retry_after_s == 3


async def test_an_answer_to_other_texts_is_refused_though_it_was_paid_for():
    book = Book()
    with pytest.raises(Unavailable):
        await embedder(lambda _: rows((1, [1.0])), book).embed("acme", ["a"], query=True)
    assert [event["outcome"] for event in book.events] == ["ok"]


@pytest.mark.parametrize(("failure", "booked"), [(httpx.ConnectError, []), (httpx.ReadTimeout, ["cancelled"])])
async def test_only_a_call_that_reached_the_vendor_is_booked(failure, booked):
    def answer(request):
        raise failure("no", request=request)

    book = Book()
    with pytest.raises(Unavailable):
        await embedder(answer, book).embed("acme", ["a"], query=True)
    assert booked == [event["outcome"] for event in book.events]


async def test_a_cancelled_call_is_booked_as_such_and_stays_cancelled():
    called = asyncio.Event()

    async def answer(request):
        called.set()
        await asyncio.Event().wait()

    book = Book()
    task = asyncio.create_task(embedder(answer, book).embed("acme", ["x" * 40], query=True))
    await called.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [(event["outcome"], event["tokens"]) for event in book.events] == [("cancelled", 10)]
