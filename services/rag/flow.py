"""Order of operations: a search within its time budget, and ingestion, listing and deletion of documents."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar, cast

import structlog

from hocket.chassis.circuit_breaker import CircuitBreaker
from hocket.chassis.clock import Clock
from hocket.chassis.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument, Unavailable
from services.rag import errors, validation
from services.rag.embedding.vectors import Vectors
from services.rag.ingest.chunking import split_into_chunks
from services.rag.ingest.documents import (
    Document,
    DocumentInfo,
    IndexedPassage,
    IngestResult,
    fingerprint,
    index_passage,
)
from services.rag.ports import Embedder, KnowledgeStore, QueryLimit
from services.rag.search.budget import Budget
from services.rag.search.query import Passage, SearchQuery, SearchResult
from services.rag.search.ranking import fuse_rankings

# Passages that each of the two rankings contributes to the fusion, at least.
_FUSED_MIN = 50
_log = structlog.get_logger()
T = TypeVar("T")


# Cancelled stages that have not ended yet: the event loop keeps only weak references to tasks.
_abandoned: set[asyncio.Future[object]] = set()


def _abandon(task: asyncio.Future[T]) -> None:
    """Cancel `task` without waiting for it; its result or exception is discarded."""

    def ended(future: asyncio.Future[object]) -> None:
        _abandoned.discard(future)
        if not future.cancelled():
            future.exception()

    task.cancel()
    held = cast("asyncio.Future[object]", task)
    _abandoned.add(held)
    held.add_done_callback(ended)


class _Stages:
    """Runs the stages of one search within its budget; collects their durations and the skipped ones."""

    def __init__(self, clock: Clock, budget_s: float) -> None:
        self._clock = clock
        self._budget = Budget(clock.monotonic(), budget_s)
        self.timings_s: list[tuple[str, float]] = []
        self.degraded: list[str] = []

    def skip(self, stage: str, reason: str) -> None:
        self.degraded.append(f"{stage}: {reason}")

    async def run(self, stage: str, step: Callable[[], Awaitable[T]], within_s: float) -> T | None:
        """Return the result of `step`, or None if it does not end within `within_s` seconds."""
        started_s = self._clock.monotonic()
        if within_s <= 0:
            self.skip(stage, "budget")
            return None
        task = asyncio.ensure_future(step())
        try:
            # Not asyncio.timeout: that waits for the cancelled step, which may take long to cancel a hung query.
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
        return self._budget.left_s(self._clock.monotonic())

    def for_embedding_s(self) -> float:
        return self._budget.for_embedding_s(self._clock.monotonic())


class KnowledgeBase:
    """Searches and maintains the documents of each tenant."""

    def __init__(
        self, store: KnowledgeStore, embedder: Embedder, limit: QueryLimit, clock: Clock, *, passage_bytes_max: int
    ) -> None:
        """Create the flow.

        Args:
            store: Documents and their passages.
            embedder: Turns texts into vectors.
            limit: The tenants' limit of queries.
            clock: Source of time.
            passage_bytes_max: Largest passage in bytes of UTF-8; documents are split into such passages.
        """
        self._store = store
        self._embedder = embedder
        self._limit = limit
        self._clock = clock
        self._breaker = CircuitBreaker(failures_max=3, open_s=5.0, single_probe=False)
        self._passage_bytes_max = passage_bytes_max

    async def search(self, tenant_id: str, query: SearchQuery) -> SearchResult:
        """Find the passages that answer a query.

        The lexical and the vector search run at the same time, and their rankings are fused. Stages that do not fit
        into the budget, or whose vendor fails, are skipped and named in the result.

        Args:
            tenant_id: The tenant whose documents are searched.
            query: The validated query.

        Raises:
            ResourceExhausted: The tenant's limit of queries is spent.
            Unavailable: The store cannot be reached.
        """
        stages = _Stages(self._clock, query.budget_s)
        await self._limit.spend()
        if self._embedder.ranks:
            passages = await self._hybrid(tenant_id, query, stages)
        else:
            passages = await self._lexical(tenant_id, query, query.k, stages) or []
        return SearchResult(passages[: query.k], stages.timings_s, stages.degraded)

    async def _lexical(self, tenant_id: str, query: SearchQuery, k: int, stages: _Stages) -> list[Passage] | None:
        return await stages.run(
            "lexical",
            lambda: self._store.lexical(tenant_id, query.terms, query.filters, k),
            stages.left_s(),
        )

    async def _hybrid(self, tenant_id: str, query: SearchQuery, stages: _Stages) -> Sequence[Passage]:
        candidates = max(query.k, _FUSED_MIN)
        async with asyncio.TaskGroup() as group:
            lexical = group.create_task(_outcome(self._lexical(tenant_id, query, candidates, stages)))
            vector = group.create_task(_outcome(self._vector(tenant_id, query, candidates, stages)))
        # An unavailable store fails the search; a stage that is late or skipped does not.
        rankings = [r for r in (_unwrap(lexical.result()), _unwrap(vector.result())) if r is not None]
        if len(rankings) < 2:
            return rankings[0] if rankings else []
        started_s = self._clock.monotonic()
        passages = _fuse_passages(rankings)
        stages.timings_s.append(("fuse", self._clock.monotonic() - started_s))
        return passages

    async def _vector(self, tenant_id: str, query: SearchQuery, k: int, stages: _Stages) -> list[Passage] | None:
        vectors = await self._query_vector(tenant_id, query.query, stages)
        if vectors is None:
            stages.skip("vector", "no query vector")
            return None
        return await stages.run(
            "vector",
            lambda: self._store.nearest(tenant_id, vectors.model, vectors.values[0], query.filters, k),
            stages.left_s(),
        )

    async def _query_vector(self, tenant_id: str, query: str, stages: _Stages) -> Vectors | None:
        if not self._breaker.allows(self._clock.monotonic()):
            stages.skip("embed", "circuit breaker open")
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

    async def ingest(self, tenant_id: str, read: Callable[[], Document], document_id: str) -> IngestResult:
        """Add or replace one document.

        Args:
            tenant_id: The tenant.
            read: Returns the validated document, or raises InvalidArgument.
            document_id: Id for the result of an invalid document.

        Returns:
            The result. An invalid document is a result with `error`, so that the caller's stream continues.

        Raises:
            Unavailable: The store cannot be reached; nothing was stored.
        """
        try:
            return await self._store_document(tenant_id, read())
        except InvalidArgument as error:
            return IngestResult(document_id, error=error.message)

    async def _store_document(self, tenant_id: str, document: Document) -> IngestResult:
        content_hash = fingerprint(document, self._passage_bytes_max)
        stored = await self._store.stored(tenant_id, document.document_id)
        if stored and (stored.content_hash, stored.embedding_model) == (content_hash, self._embedder.model):
            return IngestResult(document.document_id, stored.passages, unchanged=True)
        # In a thread: a megabyte of text takes seconds to analyse, and would block every other call.
        passages = await asyncio.to_thread(_index, document, self._passage_bytes_max)
        vectors, degraded = await self._document_vectors(tenant_id, [passage.chunk.text for passage in passages])
        await self._store.replace(tenant_id, document, content_hash, passages, vectors)
        return IngestResult(document.document_id, len(passages), degraded=degraded)

    async def _document_vectors(self, tenant_id: str, texts: list[str]) -> tuple[Vectors | None, list[str]]:
        """Return vectors and skipped steps. Without the vendor a document is stored for lexical search alone."""
        values: list[Sequence[float]] = []
        try:
            for start in range(0, len(texts), validation.EMBED_TEXTS_MAX):
                batch = texts[start : start + validation.EMBED_TEXTS_MAX]
                values.extend((await self._embedder.embed(tenant_id, batch, query=False)).values)
        except (Unavailable, FailedPrecondition) as error:
            _log.warning("document not embedded", reason=error.reason, problem=error.message)
            return None, ["embed: the vendor failed; ingest the document again"]
        return Vectors(self._embedder.model, values), []

    async def delete_document(self, tenant_id: str, document_id: str) -> int:
        """Delete a document; return how many passages it had.

        Raises:
            NotFound: The tenant has no such document.
            Unavailable: The store cannot be reached.
        """
        passages = await self._store.delete_document(tenant_id, document_id)
        if passages is None:
            raise errors.document_not_found(document_id)
        return passages

    async def delete_tenant(self, tenant_id: str, confirmed_tenant_id: str) -> tuple[int, int]:
        """Delete everything of a tenant; return how many documents and passages it had.

        Raises:
            PermissionDenied: `confirmed_tenant_id` is another tenant.
            Unavailable: The store or the vector cache cannot be reached.
        """
        if confirmed_tenant_id != tenant_id:
            raise errors.tenant_mismatch()
        await self._embedder.forget(tenant_id)
        return await self._store.delete_tenant(tenant_id)

    async def documents(self, tenant_id: str, page_size: int, page_token: str) -> tuple[list[DocumentInfo], str]:
        """Return a page of documents and the token of the next page, "" on the last.

        Raises:
            InvalidArgument: The page size or token is invalid.
            Unavailable: The store cannot be reached.
        """
        size, after = validation.validate_page(page_size, page_token)
        found = await self._store.documents(tenant_id, after, size + 1)
        next_token = validation.page_token(found[size - 1].document_id) if len(found) > size else ""
        return found[:size], next_token

    async def embed(self, tenant_id: str, texts: Sequence[str], *, query: bool) -> Vectors:
        """Return one vector per text.

        Raises:
            InvalidArgument: There are too many texts, or one is too long.
            Unavailable: The vendor did not answer.
            FailedPrecondition: The vendor refused the configured key.
        """
        return await self._embedder.embed(tenant_id, validation.validate_texts(texts), query=query)


def _index(document: Document, bytes_max: int) -> list[IndexedPassage]:
    return [index_passage(document.title, chunk) for chunk in split_into_chunks(document.text, bytes_max)]


def _fuse_passages(rankings: Sequence[Sequence[Passage]]) -> list[Passage]:
    by_id = {passage.passage_id: passage for ranking in rankings for passage in ranking}
    scored = fuse_rankings([[passage.passage_id for passage in ranking] for ranking in rankings])
    return [replace(by_id[passage_id], score=score) for passage_id, score in scored]


async def _outcome(step: Awaitable[T]) -> T | Unavailable:
    """Return the result, or the error as a value: a task group would wrap it in an ExceptionGroup."""
    try:
        return await step
    except Unavailable as error:
        return error


def _unwrap(outcome: T | Unavailable) -> T:
    if isinstance(outcome, Unavailable):
        raise outcome
    return outcome
