"""Embeddings by Voyage AI over one pooled HTTP client; its SDK opens a connection for each call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated

import httpx
from pydantic import BaseModel, Field, ValidationError

from hocket.chassis.deadline import timeout_for
from hocket.chassis.errors import MeshError, Unavailable
from services.rag import errors
from services.rag.knowledge import Vectors
from services.rag.ports import CostBook

PROVIDER = "voyage"
# Keys made in MongoDB Atlas start with "al-" and are taken there alone (voyageai 0.5.0 does the same).
_URL = "https://api.voyageai.com/v1"
_ATLAS_URL = "https://ai.mongodb.com/v1"
# A rough token count, for calls whose answer never came.
_BYTES_A_TOKEN = 4

Numbers = Annotated[list[float], Field(min_length=1)]


class _Row(BaseModel):
    index: int
    embedding: Numbers


class _Usage(BaseModel):
    total_tokens: int = Field(ge=0)


class _Reply(BaseModel):
    data: list[_Row]
    usage: _Usage


class VoyageEmbedder:
    """Implements ports.Embedder; each call to Voyage is booked once."""

    ranks = True

    def __init__(
        self,
        key: str,
        costs: CostBook,
        *,
        model: str,
        price_micro_usd: int,
        dimensions: int,
        timeout_s: float,
        client: httpx.AsyncClient | None = None,
    ) -> None:
        """Embed with `model` to vectors of `dimensions` numbers. A call takes at most `timeout_s`.

        A million tokens cost `price_micro_usd`.
        """
        # Vectors of another size are of another space.
        self.model = f"{model}@{dimensions}"
        self._body = {"model": model, "output_dimension": dimensions, "truncation": True}
        self._costs = costs
        self._price_micro_usd = price_micro_usd
        self._timeout_s = timeout_s
        self._client = client or httpx.AsyncClient()
        self._headers = {"authorization": f"Bearer {key}"}
        self._url = (_ATLAS_URL if key.startswith("al-") else _URL) + "/embeddings"

    async def embed(self, tenant_id: str, texts: Sequence[str], *, query: bool) -> Vectors:  # noqa: ARG002 - the port's
        """As the port says."""
        body = {**self._body, "input": list(texts), "input_type": "query" if query else "document"}
        try:
            reply = await self._post(body, timeout_for(self._timeout_s))
        except asyncio.CancelledError:
            # Sent and not taken back: the vendor may bill it.
            self._book(_rough_tokens(texts), "cancelled")
            raise
        except httpx.ReadTimeout as error:
            self._book(_rough_tokens(texts), "cancelled")
            raise Unavailable("Voyage did not answer in time", retry_after_s=1) from error
        rows = sorted(reply.data, key=lambda row: row.index)
        self._book(reply.usage.total_tokens, "ok")
        if [row.index for row in rows] != list(range(len(texts))):
            raise Unavailable("Voyage answered with other texts than it was asked for")
        return Vectors(self.model, [row.embedding for row in rows])

    async def _post(self, body: Mapping[str, object], timeout_s: float) -> _Reply:
        try:
            response = await self._client.post(self._url, json=body, headers=self._headers, timeout=timeout_s)
        except httpx.ReadTimeout:
            raise
        except httpx.HTTPError as error:
            raise Unavailable(f"Voyage does not answer: {type(error).__name__}", retry_after_s=1) from error
        if not response.is_success:
            raise _refusal(response)
        try:
            return _Reply.model_validate_json(response.content)
        except ValidationError as error:
            raise Unavailable("Voyage answered with something else than embeddings") from error

    def _book(self, tokens: int, outcome: str) -> None:
        model = str(self._body["model"])
        cost_micro_usd = round(tokens * self._price_micro_usd / 1_000_000)
        self._costs.book(provider=PROVIDER, model=model, tokens=tokens, cost_micro_usd=cost_micro_usd, outcome=outcome)

    async def forget(self, tenant_id: str) -> None:
        """Nothing is cached here."""

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _rough_tokens(texts: Sequence[str]) -> int:
    return sum(len(text.encode()) for text in texts) // _BYTES_A_TOKEN


def _refusal(response: httpx.Response) -> MeshError:
    if response.status_code in (401, 403):
        return errors.credentials_refused("Voyage")
    retry_after = response.headers.get("retry-after", "")
    retry_after_s = float(retry_after) if retry_after.isdecimal() else 1.0
    return Unavailable(f"Voyage answered with status {response.status_code}", retry_after_s=retry_after_s)
