"""Knowledge store in memory, for tests; runs against the same suite as the Postgres store."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from services.rag.embedding.vectors import Vectors
from services.rag.ingest.documents import Document, DocumentInfo, IndexedPassage, StoredDocument
from services.rag.search import spelling
from services.rag.search.query import Passage
from services.rag.search.ranking import bm25_term_score, inverse_document_frequency
from services.rag.text.analysis import QueryTerm


@dataclass(frozen=True, slots=True)
class _Row:
    document: Document
    passage_id: str
    passage: IndexedPassage
    vector: Sequence[float] | None


@dataclass(frozen=True, slots=True)
class _Entry:
    document: Document
    content_hash: bytes
    model: str | None
    rows: list[_Row]
    updated_at: datetime


class MemoryStore:
    """Implements ports.KnowledgeStore in memory; never raises Unavailable."""

    def __init__(self) -> None:
        """Create an empty store."""
        self._tenants: dict[str, dict[str, _Entry]] = {}

    async def stored(self, tenant_id: str, document_id: str) -> StoredDocument | None:
        """Return the summary of a document, None if there is none."""
        entry = self._of(tenant_id).get(document_id)
        return StoredDocument(entry.content_hash, len(entry.rows), entry.model) if entry else None

    async def replace(
        self,
        tenant_id: str,
        document: Document,
        content_hash: bytes,
        passages: Sequence[IndexedPassage],
        vectors: Vectors | None,
    ) -> None:
        """Add a document, or replace the one with the same id."""
        values = vectors.values if vectors else [None] * len(passages)
        rows = [_Row(document, str(uuid.uuid4()), p, v) for p, v in zip(passages, values, strict=True)]
        model = vectors.model if vectors else None
        entry = _Entry(document, content_hash, model, rows, datetime.now(UTC))
        self._tenants.setdefault(tenant_id, {})[document.document_id] = entry

    async def lexical(
        self, tenant_id: str, terms: Sequence[QueryTerm], filters: Mapping[str, str], k: int
    ) -> list[Passage]:
        """Return the best `k` passages by BM25."""
        rows = list(self._rows(tenant_id))
        holders: dict[str, int] = {}
        for row in rows:
            for term in row.passage.frequencies:
                holders[term] = holders.get(term, 0) + 1
        weights = _term_weights(terms, holders)
        mean = sum(row.passage.length for row in rows) / max(len(rows), 1)
        scored: list[tuple[float, _Row]] = []
        for row in _matching(rows, filters):
            held = {term: row.passage.frequencies[term] for term in weights if term in row.passage.frequencies}
            score = sum(
                weights[term]
                * bm25_term_score(n, row.passage.length, mean, inverse_document_frequency(len(rows), holders[term]))
                for term, n in held.items()
            )
            if held:
                scored.append((score, row))
        return _best(scored, k)

    async def nearest(
        self, tenant_id: str, model: str, vector: Sequence[float], filters: Mapping[str, str], k: int
    ) -> list[Passage]:
        """Return the best `k` passages by cosine similarity."""
        entries = [entry for entry in self._of(tenant_id).values() if entry.model == model]
        rows = [row for entry in entries for row in entry.rows]
        scored = [
            (sum(a * b for a, b in zip(vector, row.vector, strict=True)), row)
            for row in _matching(rows, filters)
            if row.vector is not None
        ]
        return _best(scored, k)

    async def delete_document(self, tenant_id: str, document_id: str) -> int | None:
        """Delete a document; return how many passages it had, None if there is no such document."""
        entry = self._of(tenant_id).pop(document_id, None)
        return len(entry.rows) if entry else None

    async def delete_tenant(self, tenant_id: str) -> tuple[int, int]:
        """Delete everything of a tenant; return how many documents and passages it had."""
        entries = self._tenants.pop(tenant_id, {})
        return len(entries), sum(len(entry.rows) for entry in entries.values())

    async def documents(self, tenant_id: str, after: str, limit: int) -> list[DocumentInfo]:
        """Return at most `limit` documents with ids after `after`."""
        entries = sorted((i, entry) for i, entry in self._of(tenant_id).items() if i > after)[:limit]
        return [
            DocumentInfo(
                i,
                entry.document.title,
                len(entry.rows),
                len(entry.document.text.encode()),
                entry.updated_at,
                entry.document.metadata,
            )
            for i, entry in entries
        ]

    def _of(self, tenant_id: str) -> dict[str, _Entry]:
        return self._tenants.get(tenant_id, {})

    def _rows(self, tenant_id: str) -> Iterator[_Row]:
        return (row for entry in self._of(tenant_id).values() for row in entry.rows)


def _term_weights(terms: Sequence[QueryTerm], holders: Mapping[str, int]) -> dict[str, float]:
    weights = {term.term: term.weight for term in terms}
    correctable = [t.term for t in terms if t.weight == 1.0 and spelling.distance_allowed(t.term)]
    for term in [term for term in correctable if term not in holders][: spelling.CORRECTIONS_MAX]:
        prefix = term[: spelling.PREFIX_CHARACTERS]
        for near in spelling.nearest(term, (word for word in holders if word.startswith(prefix))):
            weights.setdefault(near, spelling.NEAR_WEIGHT)
    return weights


def _matching(rows: Sequence[_Row], filters: Mapping[str, str]) -> Iterator[_Row]:
    return (row for row in rows if filters.items() <= row.document.metadata.items())


def _best(scored: list[tuple[float, _Row]], k: int) -> list[Passage]:
    scored.sort(key=lambda pair: (-pair[0], pair[1].document.document_id, pair[1].passage.chunk.start_byte))
    return [_passage(row, score) for score, row in scored[:k]]


def _passage(row: _Row, score: float) -> Passage:
    chunk, document = row.passage.chunk, row.document
    return Passage(
        passage_id=row.passage_id,
        document_id=document.document_id,
        title=document.title,
        text=chunk.text,
        start_byte=chunk.start_byte,
        end_byte=chunk.end_byte,
        headings=chunk.headings,
        metadata=document.metadata,
        score=score,
    )
