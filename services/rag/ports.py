"""Interfaces to what the service needs from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from services.rag.embedding.vectors import Vectors
from services.rag.ingest.documents import Document, DocumentInfo, IndexedPassage, StoredDocument
from services.rag.search.query import Passage
from services.rag.text.analysis import QueryTerm


class KnowledgeStore(Protocol):
    """Documents and passages of all tenants. *Fails closed*: every method raises Unavailable without the database."""

    async def stored(self, tenant_id: str, document_id: str) -> StoredDocument | None:
        """Return the summary of a document, None if there is none."""
        ...

    async def replace(
        self,
        tenant_id: str,
        document: Document,
        content_hash: bytes,
        passages: Sequence[IndexedPassage],
        vectors: Vectors | None,
    ) -> None:
        """Add a document, or replace the one with the same id, in one transaction.

        Args:
            tenant_id: The tenant.
            document: The document.
            content_hash: Its fingerprint.
            passages: Its passages, in order.
            vectors: One vector per passage; None if the embedder failed.
        """
        ...

    async def lexical(
        self, tenant_id: str, terms: Sequence[QueryTerm], filters: Mapping[str, str], k: int
    ) -> list[Passage]:
        """Return the best `k` passages by BM25 that hold any of the terms.

        A term that no passage of the tenant holds is replaced by the tenant's most similar terms.

        Args:
            tenant_id: The tenant.
            terms: Terms of the query with their weights.
            filters: Only documents whose metadata holds all of these pairs.
            k: Passages at most.
        """
        ...

    async def nearest(
        self, tenant_id: str, model: str, vector: Sequence[float], filters: Mapping[str, str], k: int
    ) -> list[Passage]:
        """Return the best `k` passages by cosine similarity, exactly, among those with vectors of `model`."""
        ...

    async def delete_document(self, tenant_id: str, document_id: str) -> int | None:
        """Delete a document; return how many passages it had, None if there is no such document."""
        ...

    async def delete_tenant(self, tenant_id: str) -> tuple[int, int]:
        """Delete everything of a tenant; return how many documents and passages it had."""
        ...

    async def documents(self, tenant_id: str, after: str, limit: int) -> list[DocumentInfo]:
        """Return at most `limit` documents with ids after `after`, in the code-point order of their ids."""
        ...


class Embedder(Protocol):
    """Turns texts into vectors. Search *fails open*: without a query vector it is lexical, and `degraded` says so."""

    @property
    def model(self) -> str:
        """Name of the vector space; only vectors of one model are compared."""
        ...

    @property
    def ranks(self) -> bool:
        """Whether the vectors carry enough meaning to rank passages."""
        ...

    async def embed(self, tenant_id: str, texts: Sequence[str], *, query: bool) -> Vectors:
        """Return one vector of unit length per text, in order.

        Args:
            tenant_id: The tenant, for caches.
            texts: 1 to 128 texts.
            query: True for questions, False for documents.

        Raises:
            Unavailable: The vendor did not answer.
            FailedPrecondition: The vendor refused the configured key.
        """
        ...

    async def forget(self, tenant_id: str) -> None:
        """Delete what is cached for a tenant. Raises Unavailable if a cache cannot be reached."""
        ...


class QueryLimit(Protocol):
    """The tenants' limit of queries. *Fails open*: without the limiter queries pass, and each one is counted."""

    async def spend(self) -> None:
        """Spend one query of the caller's limit. Raises ResourceExhausted if it is spent."""
        ...


class EmbeddingCosts(Protocol):
    """Records the cost of vendor calls for the tenant of the running RPC, in the background."""

    def record(self, *, provider: str, model: str, tokens: int, cost_micro_usd: int, outcome: str) -> None:
        """Record one embedding call; never waits.

        Args:
            provider: The vendor, for instance "voyage".
            model: The vendor's model.
            tokens: Tokens embedded, as the vendor counted them, or an estimate without a response.
            cost_micro_usd: Cost in micro-USD.
            outcome: "ok", "cancelled" or "failed".
        """
        ...
