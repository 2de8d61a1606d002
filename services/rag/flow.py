"""The order of awaits: how a question is answered within its budget, and how documents come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar, cast

import structlog

from hocket.chassis.circuit_breaker import CircuitBreaker
from hocket.chassis.clock import Clock
from hocket.chassis.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument, Unavailable
from services.rag import errors, limits
from services.rag.budget import Budget
from services.rag.chunking import chunks
from services.rag.knowledge import (
    Answer,
    Document,
    DocumentInfo,
    IndexedPassage,
    Ingested,
    Passage,
    Question,
    Vectors,
    indexed,
)
from services.rag.ports import Embedder, KnowledgeStore, QueryLimit
from services.rag.ranking import fused

# Passages that each of two orders brings to the fusion, at least.
_FUSED_MIN = 50
_log = structlog.get_logger()
T = TypeVar("T")


# Steps that were cancelled and are still cleaning up; the event loop itself holds tasks but weakly.
_abandoned: set[asyncio.Future[object]] = set()


def _abandon(task: asyncio.Future[T]) -> None:
    """Cancel `task` without waiting for its end, nor caring what it is."""

    def ended(future: asyncio.Future[object]) -> None:
        _abandoned.discard(future)
        if not future.cancelled():
            future.exception()

    task.cancel()
    held = cast("asyncio.Future[object]", task)
    _abandoned.add(held)
    held.add_done_callback(ended)


class _Stages:
    """Runs the steps of one search within its budget and remembers how they went."""

    def __init__(self, clock: Clock, budget_s: float) -> None:
        self._clock = clock
        self.budget = Budget(clock.monotonic(), budget_s)
        self.timings_s: list[tuple[str, float]] = []
        self.degraded: list[str] = []

    def skip(self, stage: str, why: str) -> None:
        self.degraded.append(f"{stage}: {why}")

    async def run(self, stage: str, step: Callable[[], Awaitable[T]], within_s: float) -> T | None:
        """What `step` returns, or None when it does not end within `within_s` seconds."""
        started_s = self._clock.monotonic()
        if within_s <= 0:
            self.skip(stage, "budget")
            return None
        task = asyncio.ensure_future(step())
        try:
            # Not asyncio.timeout: a step that is cancelled may have to tell a database that hangs, and take longer.
            await asyncio.wait({task}, timeout=within_s)
        finally:
            self.timings_s.append((stage, self._clock.monotonic() - started_s))
            if not task.done():
                _abandon(task)
        if task.done():
            return task.result()
        self.skip(stage, "budget")
        return None

    def left_s(self) -> float:
        return self.budget.left_s(self._clock.monotonic())

    def for_embedding_s(self) -> float:
        return self.budget.for_embedding_s(self._clock.monotonic())


class Knowledge:
    """Answers questions from a tenant's documents, and keeps them."""

    def __init__(
        self, store: KnowledgeStore, embedder: Embedder, limit: QueryLimit, clock: Clock, *, passage_bytes_max: int
    ) -> None:
        """Documents are split into passages of at most `passage_bytes_max` bytes."""
        self._store = store
        self._embedder = embedder
        self._limit = limit
        self._clock = clock
        self._breaker = CircuitBreaker(failures_max=3, open_s=5.0, single_probe=False)
        self._passage_bytes_max = passage_bytes_max

    async def search(self, tenant_id: str, question: Question) -> Answer:
        """The best passages. Raises ResourceExhausted, Unavailable."""
        stages = _Stages(self._clock, question.budget_s)
        await self._limit.spend()
        if self._embedder.ranks:
            passages = await self._by_words_and_meaning(tenant_id, question, stages)
        else:
            passages = await self._by_words(tenant_id, question, question.k, stages) or []
        return Answer(passages[: question.k], stages.timings_s, stages.degraded)

    async def _by_words(self, tenant_id: str, question: Question, k: int, stages: _Stages) -> list[Passage] | None:
        return await stages.run(
            "lexical",
            lambda: self._store.lexical(tenant_id, question.terms, question.filters, k),
            stages.left_s(),
        )

    async def _by_words_and_meaning(self, tenant_id: str, question: Question, stages: _Stages) -> Sequence[Passage]:
        wanted = max(question.k, _FUSED_MIN)
        async with asyncio.TaskGroup() as group:
            by_words = group.create_task(_outcome(self._by_words(tenant_id, question, wanted, stages)))
            by_meaning = group.create_task(_outcome(self._by_meaning(tenant_id, question, wanted, stages)))
        # A store that is gone fails the search; what is merely late or left out does not.
        orders = [order for order in (_value(by_words.result()), _value(by_meaning.result())) if order is not None]
        if len(orders) < 2:
            return orders[0] if orders else []
        started_s = self._clock.monotonic()
        passages = _fused_passages(orders)
        stages.timings_s.append(("fuse", self._clock.monotonic() - started_s))
        return passages

    async def _by_meaning(self, tenant_id: str, question: Question, k: int, stages: _Stages) -> list[Passage] | None:
        vectors = await self._query_vector(tenant_id, question.query, stages)
        if vectors is None:
            stages.skip("vector", "no query vector")
            return None
        return await stages.run(
            "vector",
            lambda: self._store.nearest(tenant_id, vectors.model, vectors.values[0], question.filters, k),
            stages.left_s(),
        )

    async def _query_vector(self, tenant_id: str, query: str, stages: _Stages) -> Vectors | None:
        if not self._breaker.allows(self._clock.monotonic()):
            stages.skip("embed", "the vendor failed lately")
            return None
        try:
            vectors = await stages.run(
                "embed",
                lambda: self._embedder.embed(tenant_id, [query], query=True),
                stages.for_embedding_s(),
            )
        except (Unavailable, FailedPrecondition, DeadlineExceeded) as error:
            _log.warning("query not embedded", reason=error.reason, problem=error.message)
            self._breaker.record_failure(self._clock.monotonic())
            stages.skip("embed", "the vendor failed")
            return None
        if vectors is None:
            self._breaker.record_failure(self._clock.monotonic())
        else:
            self._breaker.record_success()
        return vectors

    async def ingest(self, tenant_id: str, take: Callable[[], Document], document_id: str) -> Ingested:
        """Store the document that `take` makes of a request; what is wrong with it is an answer, not an error."""
        try:
            return await self._store_document(tenant_id, take())
        except InvalidArgument as error:
            return Ingested(document_id, error=error.message)

    async def _store_document(self, tenant_id: str, document: Document) -> Ingested:
        content_hash = limits.fingerprint(document, self._passage_bytes_max)
        stored = await self._store.stored(tenant_id, document.document_id)
        if stored and (stored.content_hash, stored.embedding_model) == (content_hash, self._embedder.model):
            return Ingested(document.document_id, stored.passages, unchanged=True)
        # In a thread: a megabyte of text takes seconds to analyse, and other calls must not wait.
        passages = await asyncio.to_thread(_passages, document, self._passage_bytes_max)
        vectors, degraded = await self._document_vectors(tenant_id, [passage.chunk.text for passage in passages])
        await self._store.replace(tenant_id, document, content_hash, passages, vectors)
        return Ingested(document.document_id, len(passages), degraded=degraded)

    async def _document_vectors(self, tenant_id: str, texts: list[str]) -> tuple[Vectors | None, list[str]]:
        """Without the vendor a document is stored to be found by its words; ingesting it again mends it."""
        values: list[Sequence[float]] = []
        try:
            for start in range(0, len(texts), limits.EMBED_TEXTS_MAX):
                some = texts[start : start + limits.EMBED_TEXTS_MAX]
                values.extend((await self._embedder.embed(tenant_id, some, query=False)).values)
        except (Unavailable, FailedPrecondition) as error:
            _log.warning("document not embedded", reason=error.reason, problem=error.message)
            return None, ["embed: the vendor failed; ingest the document again"]
        return Vectors(self._embedder.model, values), []

    async def delete_document(self, tenant_id: str, document_id: str) -> int:
        """Remove a document; how many passages went. Raises NotFound."""
        passages = await self._store.delete_document(tenant_id, document_id)
        if passages is None:
            raise errors.document_not_found()
        return passages

    async def delete_tenant(self, tenant_id: str, confirmed_tenant_id: str) -> tuple[int, int]:
        """Remove all of a tenant; how many documents and passages went. Raises PermissionDenied."""
        if confirmed_tenant_id != tenant_id:
            raise errors.tenant_mismatch()
        await self._embedder.forget(tenant_id)
        return await self._store.delete_tenant(tenant_id)

    async def documents(self, tenant_id: str, page_size: int, page_token: str) -> tuple[list[DocumentInfo], str]:
        """A page of documents and the token of the next, empty on the last. Raises InvalidArgument."""
        size, after = limits.acceptable_page(page_size, page_token)
        found = await self._store.documents(tenant_id, after, size + 1)
        more = limits.page_token(found[size - 1].document_id) if len(found) > size else ""
        return found[:size], more

    async def embed(self, tenant_id: str, texts: Sequence[str], *, query: bool) -> Vectors:
        """Vectors of `texts`. Raises InvalidArgument, Unavailable, FailedPrecondition."""
        return await self._embedder.embed(tenant_id, limits.acceptable_texts(texts), query=query)


def _passages(document: Document, bytes_max: int) -> list[IndexedPassage]:
    return [indexed(document.title, chunk) for chunk in chunks(document.text, bytes_max)]


def _fused_passages(orders: Sequence[Sequence[Passage]]) -> list[Passage]:
    by_id = {passage.passage_id: passage for order in orders for passage in order}
    scored = fused([[passage.passage_id for passage in order] for order in orders])
    return [replace(by_id[passage_id], score=score) for passage_id, score in scored]


async def _outcome(step: Awaitable[T]) -> T | Unavailable:
    """The result, or the failure as a value: a task group would wrap it."""
    try:
        return await step
    except Unavailable as error:
        return error


def _value(outcome: T | Unavailable) -> T:
    if isinstance(outcome, Unavailable):
        raise outcome
    return outcome
