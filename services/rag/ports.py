"""All that rag needs from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from services.rag.analysis import QueryTerm
from services.rag.knowledge import Document, DocumentInfo, IndexedPassage, Passage, Stored, Vectors


class KnowledgeStore(Protocol):
    """Where documents lie, each tenant's apart. Fail-closed: every method raises Unavailable when it is gone."""

    async def stored(self, tenant_id: str, document_id: str) -> Stored | None:
        """What is known of a document; None when there is none."""
        ...

    async def replace(
        self,
        tenant_id: str,
        document: Document,
        content_hash: bytes,
        passages: Sequence[IndexedPassage],
        vectors: Vectors | None,
    ) -> None:
        """Store a document in place of the one of the same id: all of it or, on any failure, nothing."""
        ...

    async def lexical(
        self, tenant_id: str, terms: Sequence[QueryTerm], filters: Mapping[str, str], k: int
    ) -> list[Passage]:
        """The best `k` by BM25 that hold any of `terms`; a term nobody uses stands for those nearest to it."""
        ...

    async def nearest(
        self, tenant_id: str, model: str, vector: Sequence[float], filters: Mapping[str, str], k: int
    ) -> list[Passage]:
        """The best `k` by cosine, exactly, among passages with vectors of `model`."""
        ...

    async def delete_document(self, tenant_id: str, document_id: str) -> int | None:
        """Remove a document; how many passages went, None when there was no such document."""
        ...

    async def delete_tenant(self, tenant_id: str) -> tuple[int, int]:
        """Remove everything of a tenant; how many documents and passages went."""
        ...

    async def documents(self, tenant_id: str, after: str, limit: int) -> list[DocumentInfo]:
        """At most `limit` documents in the order of their ids' code points, those after the id `after`."""
        ...


class Embedder(Protocol):
    """Turns texts to vectors. Search fails open: without a query vector it is lexical, and says so."""

    @property
    def model(self) -> str:
        """The model; only vectors of one model are compared."""
        ...

    @property
    def ranks(self) -> bool:
        """Whether the vectors carry enough meaning to rank by."""
        ...

    async def embed(self, tenant_id: str, texts: Sequence[str], *, query: bool) -> Vectors:
        """Vectors of unit length in the order of `texts`. Raises Unavailable, FailedPrecondition."""
        ...

    async def forget(self, tenant_id: str) -> None:
        """Drop what is cached for a tenant."""
        ...


class QueryLimit(Protocol):
    """What a tenant may ask. Fail-open: where the limiter does not answer, queries pass, and each is counted."""

    async def spend(self) -> None:
        """Take one query from the caller's limit. Raises ResourceExhausted when it is spent."""
        ...


class CostBook(Protocol):
    """Where vendor calls are booked for the tenant of the running RPC, in the background; never waits."""

    def book(self, *, provider: str, model: str, tokens: int, cost_micro_usd: int, outcome: str) -> None:
        """Book one embedding call; `outcome` is "ok", "cancelled" or "failed"."""
        ...
