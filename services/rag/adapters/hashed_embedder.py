"""The embedder of a service without a vendor's key."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from services.rag.analysis import terms
from services.rag.hashed_vectors import MODEL, hashed_vector
from services.rag.knowledge import Vectors


class HashedEmbedder:
    """Implements ports.Embedder by hashing words: free, never away, and too poor to rank by."""

    model = MODEL
    ranks = False

    async def embed(self, tenant_id: str, texts: Sequence[str], *, query: bool) -> Vectors:  # noqa: ARG002 - the port's
        """As the port says; queries and documents are hashed alike."""
        return await asyncio.to_thread(_vectors, list(texts))

    async def forget(self, tenant_id: str) -> None:
        """Nothing is cached."""


def _vectors(texts: list[str]) -> Vectors:
    return Vectors(MODEL, [hashed_vector(text, terms(text)) for text in texts])
