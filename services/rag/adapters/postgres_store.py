"""Knowledge store in Postgres, under row-level security."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from asyncpg import Record
from asyncpg.pool import PoolConnectionProxy

from hocket.chassis.errors import FailedPrecondition
from hocket.postgres.tenant_database import TenantDatabase
from services.rag.adapters import statements as sql
from services.rag.embedding.vectors import Vectors
from services.rag.ingest.documents import Document, DocumentInfo, IndexedPassage, StoredDocument
from services.rag.search import spelling
from services.rag.search.query import Passage
from services.rag.text.analysis import QueryTerm

SCHEMA = "rag"
MIGRATIONS = Path(__file__).parent / "migrations"
# Rows per statement, so that each stays well below the statement timeout.
_POSTINGS_PER_STATEMENT = 20_000
# A tenant is deleted with one statement per table: a million postings take about 3 s.
_DELETE_TENANT_TIMEOUT_S = 25.0
_VOCABULARY_MAX = 2_000
_LAST_CHARACTER = "\U0010ffff"


class PostgresStore:
    """Implements ports.KnowledgeStore over Postgres with pgvector."""

    def __init__(self, database: TenantDatabase) -> None:
        """Create a store over `database`, which the caller closes."""
        self._database = database
        self._bound = False

    async def check(self) -> None:
        """Readiness check.

        Raises:
            Unavailable: Postgres does not answer.
            FailedPrecondition: The schema does not fit, or row-level security is not forced on a table.
        """
        await self._database.check()
        if self._bound:
            return
        # The system catalogue is not per tenant; any tenant id works.
        async with self._database.tenant("-") as connection:
            unbound = [str(row["relname"]) for row in await connection.fetch(sql.UNBOUND_TABLES)]
        if unbound:
            raise FailedPrecondition(f"row-level security is not forced on {', '.join(unbound)}; run the migrations")
        self._bound = True

    async def stored(self, tenant_id: str, document_id: str) -> StoredDocument | None:
        """Return the summary of a document, None if there is none."""
        async with self._database.tenant(tenant_id) as connection:
            row = await connection.fetchrow(sql.STORED, tenant_id, document_id)
        return StoredDocument(row["content_hash"], row["passages"], row["embedding_model"]) if row else None

    async def replace(
        self,
        tenant_id: str,
        document: Document,
        content_hash: bytes,
        passages: Sequence[IndexedPassage],
        vectors: Vectors | None,
    ) -> None:
        """Add a document, or replace the one with the same id, in one transaction."""
        key = uuid.uuid4()
        terms = {term for passage in passages for term in passage.frequencies}
        async with self._database.tenant(tenant_id) as connection:
            await connection.execute(sql.LOCK_CORPUS, tenant_id)
            passages_before, terms_before = await _drop(connection, tenant_id, document.document_id) or (0, 0)
            await connection.execute(
                sql.PUT_DOCUMENT,
                tenant_id,
                document.document_id,
                key,
                document.title,
                json.dumps(dict(document.metadata)),
                content_hash,
                vectors.model if vectors else None,
                len(document.text.encode()),
                len(passages),
                sorted(terms),
            )
            rows = _passage_rows(tenant_id, key, document.document_id, passages, vectors)
            await connection.executemany(sql.PUT_PASSAGE, rows)
            for batch in _batches(_posting_rows(passages), _POSTINGS_PER_STATEMENT):
                await connection.execute(sql.PUT_POSTINGS, tenant_id, key, *map(list, zip(*batch, strict=True)))
            length = sum(passage.length for passage in passages)
            await connection.execute(
                sql.COUNT_CORPUS, tenant_id, len(passages) - passages_before, length - terms_before
            )

    async def lexical(
        self, tenant_id: str, terms: Sequence[QueryTerm], filters: Mapping[str, str], k: int
    ) -> list[Passage]:
        """Return the best `k` passages by BM25."""
        async with self._database.tenant(tenant_id) as connection:
            keys = await _matching(connection, tenant_id, filters)
            weights = await _term_weights(connection, tenant_id, terms)
            rows = await connection.fetch(sql.LEXICAL, tenant_id, keys, k, list(weights), list(weights.values()))
        return [_passage(row) for row in rows]

    async def nearest(
        self, tenant_id: str, model: str, vector: Sequence[float], filters: Mapping[str, str], k: int
    ) -> list[Passage]:
        """Return the best `k` passages by cosine similarity."""
        async with self._database.tenant(tenant_id) as connection:
            keys = await _matching(connection, tenant_id, filters)
            rows = await connection.fetch(sql.NEAREST, tenant_id, keys, k, model, list(vector))
        return [_passage(row) for row in rows]

    async def delete_document(self, tenant_id: str, document_id: str) -> int | None:
        """Delete a document; return how many passages it had, None if there is no such document."""
        async with self._database.tenant(tenant_id) as connection:
            await connection.execute(sql.LOCK_CORPUS, tenant_id)
            dropped = await _drop(connection, tenant_id, document_id)
            if dropped is None:
                return None
            passages_before, terms_before = dropped
            await connection.execute(sql.COUNT_CORPUS, tenant_id, -passages_before, -terms_before)
            return passages_before

    async def delete_tenant(self, tenant_id: str) -> tuple[int, int]:
        """Delete everything of a tenant; return how many documents and passages it had."""
        async with self._database.tenant(tenant_id) as connection:
            await connection.execute(sql.LOCK_CORPUS, tenant_id)
            await connection.execute(sql.DROP_TENANT_POSTINGS, tenant_id, timeout=_DELETE_TENANT_TIMEOUT_S)
            passages = await connection.execute(sql.DROP_TENANT_PASSAGES, tenant_id, timeout=_DELETE_TENANT_TIMEOUT_S)
            documents = await connection.execute(sql.DROP_TENANT_DOCUMENTS, tenant_id)
            await connection.execute(sql.DROP_CORPUS, tenant_id)
        return _rows_in(documents), _rows_in(passages)

    async def documents(self, tenant_id: str, after: str, limit: int) -> list[DocumentInfo]:
        """Return at most `limit` documents with ids after `after`."""
        async with self._database.tenant(tenant_id) as connection:
            rows = await connection.fetch(sql.DOCUMENTS, tenant_id, after, limit)
        return [
            DocumentInfo(
                row["id"],
                row["title"],
                row["passages"],
                row["size_bytes"],
                row["updated_at"],
                json.loads(row["metadata"]),
            )
            for row in rows
        ]


async def _drop(connection: PoolConnectionProxy, tenant_id: str, document_id: str) -> tuple[int, int] | None:
    """Delete a document; return its number of passages and of terms, None if there is no such document."""
    document = await connection.fetchrow(sql.DROP_DOCUMENT, tenant_id, document_id)
    if document is None:
        return None
    passages = await connection.fetch(sql.DROP_PASSAGES, tenant_id, document["key"])
    await connection.execute(sql.DROP_POSTINGS, tenant_id, document["key"], document["terms"])
    return len(passages), sum(row["length"] for row in passages)


async def _matching(
    connection: PoolConnectionProxy, tenant_id: str, filters: Mapping[str, str]
) -> list[uuid.UUID] | None:
    """Return the keys of the documents whose metadata holds `filters`; None for all documents."""
    if not filters:
        return None
    rows = await connection.fetch(sql.MATCHING_DOCUMENTS, tenant_id, json.dumps(dict(filters)))
    return [row["key"] for row in rows]


async def _term_weights(
    connection: PoolConnectionProxy, tenant_id: str, terms: Sequence[QueryTerm]
) -> dict[str, float]:
    """Return the weight of each term, adding similar terms of the tenant for those that no passage holds."""
    weights = {term.term: term.weight for term in terms}
    correctable = [term.term for term in terms if term.weight == 1.0 and spelling.distance_allowed(term.term)]
    if correctable:
        unused = await connection.fetch(sql.UNUSED_TERMS, tenant_id, correctable)
        for row in unused[: spelling.CORRECTIONS_MAX]:
            for near in spelling.nearest(row["term"], await _vocabulary(connection, tenant_id, row["term"])):
                weights.setdefault(near, spelling.NEAR_WEIGHT)
    return weights


async def _vocabulary(connection: PoolConnectionProxy, tenant_id: str, term: str) -> list[str]:
    prefix = term[: spelling.PREFIX_CHARACTERS]
    rows = await connection.fetch(sql.VOCABULARY, tenant_id, prefix, prefix + _LAST_CHARACTER, _VOCABULARY_MAX)
    return [row["term"] for row in rows]


def _passage_rows(
    tenant_id: str,
    key: uuid.UUID,
    document_id: str,
    passages: Sequence[IndexedPassage],
    vectors: Vectors | None,
) -> Iterator[tuple[object, ...]]:
    for ordinal, passage in enumerate(passages):
        chunk = passage.chunk
        yield (
            tenant_id,
            key,
            ordinal,
            document_id,
            chunk.start_byte,
            chunk.end_byte,
            list(chunk.headings),
            chunk.text,
            passage.length,
            vectors.model if vectors else None,
            list(vectors.values[ordinal]) if vectors else None,
        )


_Posting = tuple[str, int, int, int]


def _posting_rows(passages: Sequence[IndexedPassage]) -> Iterator[_Posting]:
    for ordinal, passage in enumerate(passages):
        length = passage.length
        for term, frequency in passage.frequencies.items():
            yield term, ordinal, frequency, length


def _batches(rows: Iterator[_Posting], size: int) -> Iterator[list[_Posting]]:
    while batch := list(islice(rows, size)):
        yield batch


def _rows_in(status: str) -> int:
    """Return the count in a status such as "DELETE 12"."""
    return int(status.rpartition(" ")[2])


def _passage(row: Record) -> Passage:
    return Passage(
        passage_id=f"{row['document_key']}/{row['ordinal']}",
        document_id=row["document_id"],
        title=row["title"],
        text=row["body"],
        start_byte=row["start_byte"],
        end_byte=row["end_byte"],
        headings=tuple(row["headings"]),
        metadata=json.loads(row["metadata"]),
        score=float(row["score"]),
    )
