"""KnowledgeBase: fusion, budget, skipped stages, and ingestion without the vendor."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hocket.chassis.clock import SystemClock
from hocket.chassis.errors import FailedPrecondition, ResourceExhausted, Unavailable
from services.rag import validation
from services.rag.adapters.hashed_embedder import HashedEmbedder
from services.rag.adapters.memory_store import MemoryStore
from services.rag.adapters.ratelimit import NoQueryLimit
from services.rag.embedding.vectors import Vectors
from services.rag.flow import KnowledgeBase
from tests.fakes.waiting import DEADLINE_S

HANDBOOK = Path(__file__).parents[3] / "examples" / "knowledge"


class ColourEmbedder:
    """An embedder that ranks: one vector for texts about colours, another for the rest."""

    model = "meaning@2"
    ranks = True

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.stuck = False
        self.calls = 0

    async def embed(self, tenant_id, texts, *, query):
        self.calls += 1
        if self.stuck:
            await asyncio.Event().wait()
        if self.failure:
            raise self.failure
        return Vectors(self.model, [[1.0, 0.0] if "red" in text or "colour" in text else [0.0, 1.0] for text in texts])

    async def forget(self, tenant_id):
        self.forgotten = tenant_id


class Spent:
    async def spend(self):
        raise ResourceExhausted("spent", retry_after_s=2)


class StuckStore(MemoryStore):
    async def lexical(self, *_):
        await asyncio.Event().wait()


class UnavailableStore(MemoryStore):
    async def lexical(self, *_):
        raise Unavailable("Postgres does not answer")


def knowledge(store=None, embedder=None, limit=None) -> KnowledgeBase:
    return KnowledgeBase(
        store or MemoryStore(),
        embedder or HashedEmbedder(),
        limit or NoQueryLimit(),
        SystemClock(),
        passage_bytes_max=1000,
    )


def question(query, *, k=5, filters=None, budget_s=20.0):
    return validation.validate_query(query, k=k, filters=filters or {}, budget_s=budget_s, budget_s_default=1)


async def put(flow, document_id, text, tenant_id="acme", **metadata):
    return await flow.ingest(
        tenant_id, lambda: validation.validate_document(document_id, "", text, metadata), document_id
    )


async def colours(flow):
    await put(flow, "red", "The red one.")
    await put(flow, "door", "The door has a colour, and it is blue.")
    await put(flow, "tea", "Tea is free.")


async def test_without_a_ranking_embedder_search_is_lexical_and_not_degraded():
    flow = knowledge()
    await colours(flow)
    answer = await flow.search("acme", question("which colour is the door"))
    assert [passage.document_id for passage in answer.passages] == ["door"]
    assert ([stage for stage, _ in answer.timings_s], list(answer.degraded)) == (["lexical"], [])


async def test_vector_search_finds_passages_without_shared_terms():
    flow = knowledge(embedder=ColourEmbedder())
    await colours(flow)
    answer = await flow.search("acme", question("colour of the door"))
    assert [passage.document_id for passage in answer.passages] == ["door", "red", "tea"]
    assert {"embed", "lexical", "vector", "fuse"} == {stage for stage, _ in answer.timings_s}
    assert list(answer.degraded) == []


@pytest.mark.parametrize("failure", [Unavailable("down"), FailedPrecondition("key")])
async def test_failed_vendor_degrades_to_lexical_search(failure):
    meaning = ColourEmbedder()
    flow = knowledge(embedder=meaning)
    await colours(flow)
    meaning.failure = failure
    answer = await flow.search("acme", question("colour of the door"))
    assert [passage.document_id for passage in answer.passages] == ["door"]
    assert list(answer.degraded) == ["embed: the vendor failed", "vector: no query vector"]


async def test_open_breaker_skips_the_vendor():
    meaning = ColourEmbedder()
    flow = knowledge(embedder=meaning)
    await colours(flow)
    meaning.failure, before = Unavailable("down"), meaning.calls
    for _ in range(5):
        answer = await flow.search("acme", question("colour"))
    assert before + 3 == meaning.calls
    assert "embed: circuit breaker open" in answer.degraded


async def test_hanging_vendor_is_bounded_by_the_budget():
    meaning = ColourEmbedder()
    flow = knowledge(embedder=meaning)
    await colours(flow)
    meaning.stuck = True
    async with asyncio.timeout(DEADLINE_S):
        answer = await flow.search("acme", question("colour of the door", budget_s=0.15))
    assert [passage.document_id for passage in answer.passages] == ["door"]
    assert list(answer.degraded) == ["embed: budget", "vector: no query vector"]


async def test_short_budget_skips_the_vendor():
    meaning = ColourEmbedder()
    flow = knowledge(embedder=meaning)
    await colours(flow)
    before = meaning.calls
    answer = await flow.search("acme", question("colour", budget_s=0.03))
    assert before == meaning.calls
    assert "embed: budget" in answer.degraded


async def test_stage_that_ignores_cancellation_is_abandoned():
    cleaning = asyncio.Event()

    class Hanging(MemoryStore):
        async def lexical(self, *_):
            try:
                await asyncio.Event().wait()
            finally:
                await cleaning.wait()

    async with asyncio.timeout(DEADLINE_S):
        answer = await knowledge(Hanging()).search("acme", question("colour", budget_s=0.02))
    assert list(answer.degraded) == ["lexical: budget"]
    cleaning.set()


async def test_without_time_for_any_stage_the_result_is_empty_and_degraded():
    answer = await knowledge(StuckStore()).search("acme", question("colour", budget_s=0.02))
    assert (list(answer.passages), list(answer.degraded)) == ([], ["lexical: budget"])


@pytest.mark.parametrize("embedder", [HashedEmbedder(), ColourEmbedder()])
async def test_unavailable_store_fails_the_search(embedder):
    with pytest.raises(Unavailable):
        await knowledge(UnavailableStore(), embedder).search("acme", question("colour"))


async def test_spent_limit_refuses_before_any_stage():
    meaning = ColourEmbedder()
    with pytest.raises(ResourceExhausted):
        await knowledge(embedder=meaning, limit=Spent()).search("acme", question("colour"))
    assert meaning.calls == 0


async def test_filters_apply_to_both_rankings():
    flow = knowledge(embedder=ColourEmbedder())
    await put(flow, "a", "The red door.", floor="1")
    await put(flow, "b", "The red door.", floor="2")
    answer = await flow.search("acme", question("red door colour", filters={"floor": "2"}))
    assert [passage.document_id for passage in answer.passages] == ["b"]


async def test_document_without_vectors_is_embedded_when_ingested_again():
    meaning = ColourEmbedder()
    flow = knowledge(embedder=meaning)
    meaning.failure = Unavailable("down")
    first = await put(flow, "a", "The red one.")
    meaning.failure = None
    second = await put(flow, "a", "The red one.")
    third = await put(flow, "a", "The red one.")
    assert list(first.degraded) == ["embed: the vendor failed; ingest the document again"]
    assert (second.unchanged, list(second.degraded)) == (False, [])
    assert third.unchanged


async def test_delete_tenant_clears_the_vector_cache():
    meaning = ColourEmbedder()
    flow = knowledge(embedder=meaning)
    await colours(flow)
    assert await flow.delete_tenant("acme", "acme") == (3, 3)
    assert meaning.forgotten == "acme"


SPOKEN = [
    ("what time does the company meeting start", "nine thirty in the morning"),
    ("when do you open on saturday", "On Saturdays the office is open from nine"),
    ("where can visitors park their car", "Visitors park in the first row"),
    ("how much does lunch cost", "Lunch costs six euros"),
    ("what is the wi fi called for guests", "called Larkspur Guest"),
    ("the coffee machine blinks red what should I do", "needs water"),
    ("how many days of holliday do I have", "twenty eight days of paid holiday"),
    ("who do I ask about expences", "Marta Lindqvist"),
    ("um I forgot my password", "forget your password"),
    ("how do I reach security", "extension one one one"),
]


@pytest.mark.parametrize(("spoken", "expected"), SPOKEN)
async def test_spoken_questions_find_the_answer_in_the_first_three_passages(spoken, expected):
    flow = knowledge()
    for file in sorted(HANDBOOK.glob("*.md")):
        await put(flow, file.stem, file.read_text(encoding="utf-8"))
    answer = await flow.search("acme", question(spoken, k=3))
    assert any(expected in " ".join(passage.text.split()) for passage in answer.passages), answer
