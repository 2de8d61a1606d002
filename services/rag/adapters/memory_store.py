"""The knowledge store in memory: nothing outlives the process. The twin of the Postgres store, held to one suite."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from services.rag import spelling
from services.rag.analysis import QueryTerm
from services.rag.knowledge import Document, DocumentInfo, IndexedPassage, Passage, Stored, Vectors
from services.rag.ranking import rarity, term_score


@dataclass(frozen=True, slots=True)
class _Row:
    document: Document
    passage_id: str
    passage: IndexedPassage
    vector: Sequence[float] | None


@dataclass(frozen=True, slots=True)
class _Shelf:
    document: Document
    content_hash: bytes
    model: str | None
    rows: list[_Row]
    updated_at: datetime


class MemoryStore:
    """Implements ports.KnowledgeStore."""

    def __init__(self) -> None:
        """Start empty."""
        self._tenants: dict[str, dict[str, _Shelf]] = {}

    async def stored(self, tenant_id: str, document_id: str) -> Stored | None:
        """As the port says."""
        shelf = self._of(tenant_id).get(document_id)
        return Stored(shelf.content_hash, len(shelf.rows), shelf.model) if shelf else None

    async def replace(
        self,
        tenant_id: str,
        document: Document,
        content_hash: bytes,
        passages: Sequence[IndexedPassage],
        vectors: Vectors | None,
    ) -> None:
        """As the port says."""
        values = vectors.values if vectors else [None] * len(passages)
        rows = [_Row(document, str(uuid.uuid4()), p, v) for p, v in zip(passages, values, strict=True)]
        model = vectors.model if vectors else None
        shelf = _Shelf(document, content_hash, model, rows, datetime.now(UTC))
        self._tenants.setdefault(tenant_id, {})[document.document_id] = shelf

    async def lexical(
        self, tenant_id: str, terms: Sequence[QueryTerm], filters: Mapping[str, str], k: int
    ) -> list[Passage]:
        """As the port says."""
        rows = list(self._rows(tenant_id))
        holders: dict[str, int] = {}
        for row in rows:
            for term in row.passage.frequencies:
                holders[term] = holders.get(term, 0) + 1
        weights = _used_weights(terms, holders)
        mean = sum(row.passage.length for row in rows) / max(len(rows), 1)
        scored: list[tuple[float, _Row]] = []
        for row in _matching(rows, filters):
            held = {term: row.passage.frequencies[term] for term in weights if term in row.passage.frequencies}
            score = sum(
                weights[term] * term_score(n, row.passage.length, mean, rarity(len(rows), holders[term]))
                for term, n in held.items()
            )
            if held:
                scored.append((score, row))
        return _best(scored, k)

    async def nearest(
        self, tenant_id: str, model: str, vector: Sequence[float], filters: Mapping[str, str], k: int
    ) -> list[Passage]:
        """As the port says."""
        shelves = [shelf for shelf in self._of(tenant_id).values() if shelf.model == model]
        rows = [row for shelf in shelves for row in shelf.rows]
        scored = [
            (sum(a * b for a, b in zip(vector, row.vector, strict=True)), row)
            for row in _matching(rows, filters)
            if row.vector is not None
        ]
        return _best(scored, k)

    async def delete_document(self, tenant_id: str, document_id: str) -> int | None:
        """As the port says."""
        shelf = self._of(tenant_id).pop(document_id, None)
        return len(shelf.rows) if shelf else None

    async def delete_tenant(self, tenant_id: str) -> tuple[int, int]:
        """As the port says."""
        shelves = self._tenants.pop(tenant_id, {})
        return len(shelves), sum(len(shelf.rows) for shelf in shelves.values())

    async def documents(self, tenant_id: str, after: str, limit: int) -> list[DocumentInfo]:
        """As the port says."""
        shelves = sorted((i, shelf) for i, shelf in self._of(tenant_id).items() if i > after)[:limit]
        return [
            DocumentInfo(
                i,
                shelf.document.title,
                len(shelf.rows),
                len(shelf.document.text.encode()),
                shelf.updated_at,
                shelf.document.metadata,
            )
            for i, shelf in shelves
        ]

    def _of(self, tenant_id: str) -> dict[str, _Shelf]:
        return self._tenants.get(tenant_id, {})

    def _rows(self, tenant_id: str) -> Iterator[_Row]:
        return (row for shelf in self._of(tenant_id).values() for row in shelf.rows)


def _used_weights(terms: Sequence[QueryTerm], holders: Mapping[str, int]) -> dict[str, float]:
    weights = {term.term: term.weight for term in terms}
    guessable = [t.term for t in terms if t.weight == 1.0 and spelling.distance_allowed(t.term)]
    for term in [term for term in guessable if term not in holders][: spelling.GUESSES_MAX]:
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
