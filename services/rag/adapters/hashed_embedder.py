"""Embedder of a service without a vendor key."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from services.rag.embedding.hashed_vectors import MODEL, hashed_vector
from services.rag.embedding.vectors import Vectors
from services.rag.text.analysis import terms


class HashedEmbedder:
    """Implements ports.Embedder by hashing terms; never fails, and does not rank."""

    model = MODEL
    ranks = False

    async def embed(self, tenant_id: str, texts: Sequence[str], *, query: bool) -> Vectors:  # noqa: ARG002 - the port's
        """Return hashed vectors; queries and documents are hashed alike."""
        return await asyncio.to_thread(_vectors, list(texts))

    async def forget(self, tenant_id: str) -> None:
        """Do nothing: nothing is cached."""


def _vectors(texts: list[str]) -> Vectors:
    return Vectors(MODEL, [hashed_vector(text, terms(text)) for text in texts])
