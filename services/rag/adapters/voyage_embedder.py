"""Embeddings by Voyage AI over one pooled HTTP client (the vendor's SDK opens a connection per call)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated

import httpx
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from pydantic import BaseModel, Field, ValidationError

from hocket.chassis.deadline import timeout_for
from hocket.chassis.errors import MeshError, Unavailable
from hocket.chassis.telemetry import trace_headers
from services.rag import errors
from services.rag.embedding.vectors import Vectors
from services.rag.ports import EmbeddingCosts

PROVIDER = "voyage"
# Keys created in MongoDB Atlas start with "al-" and work with its URL only (as in voyageai 0.5.0).
_URL = "https://api.voyageai.com/v1"
_ATLAS_URL = "https://ai.mongodb.com/v1"
# Estimate of the tokens of a call without a response.
_BYTES_PER_TOKEN = 4
_tracer = trace.get_tracer("hocket.rag")

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
    """Implements ports.Embedder with Voyage AI; records the cost of each call once."""

    ranks = True

    def __init__(
        self,
        key: str,
        costs: EmbeddingCosts,
        *,
        model: str,
        price_micro_usd: int,
        dimensions: int,
        timeout_s: float,
        client: httpx.AsyncClient | None = None,
    ) -> None:
        """Create an embedder.

        Args:
            key: API key.
            costs: Records the cost of each call.
            model: Voyage model.
            price_micro_usd: Price of a million tokens in micro-USD.
            dimensions: Numbers per vector.
            timeout_s: Longest call in seconds.
            client: HTTP client; None creates one.
        """
        # Vectors of different sizes are not comparable.
        self.model = f"{model}@{dimensions}"
        self._body = {"model": model, "output_dimension": dimensions, "truncation": True}
        self._costs = costs
        self._price_micro_usd = price_micro_usd
        self._timeout_s = timeout_s
        self._client = client or httpx.AsyncClient()
        self._headers = {"authorization": f"Bearer {key}"}
        self._url = (_ATLAS_URL if key.startswith("al-") else _URL) + "/embeddings"

    async def embed(self, tenant_id: str, texts: Sequence[str], *, query: bool) -> Vectors:  # noqa: ARG002 - the port's
        """Return one vector per text. Raises Unavailable, FailedPrecondition."""
        body = {**self._body, "input": list(texts), "input_type": "query" if query else "document"}
        model = str(self._body["model"])
        attributes = {
            "gen_ai.operation.name": "embeddings",
            "gen_ai.provider.name": PROVIDER,
            "gen_ai.request.model": model,
        }
        with _tracer.start_as_current_span(f"embeddings {model}", kind=SpanKind.CLIENT, attributes=attributes) as span:
            reply = await self._billed_post(body, texts)
            span.set_attribute("gen_ai.usage.input_tokens", reply.usage.total_tokens)
        rows = sorted(reply.data, key=lambda row: row.index)
        self._record(reply.usage.total_tokens, "ok")
        if [row.index for row in rows] != list(range(len(texts))):
            raise Unavailable(f"Voyage returned {len(rows)} vectors for {len(texts)} texts, or out of order")
        return Vectors(self.model, [row.embedding for row in rows])

    async def _billed_post(self, body: Mapping[str, object], texts: Sequence[str]) -> _Reply:
        """Post; record an estimate where the request was sent and no response came, since the vendor may bill it."""
        try:
            return await self._post(body, timeout_for(self._timeout_s))
        except asyncio.CancelledError:
            self._record(_estimate_tokens(texts), "cancelled")
            raise
        except httpx.ReadTimeout as error:
            self._record(_estimate_tokens(texts), "cancelled")
            raise Unavailable(f"Voyage did not answer within {self._timeout_s:g} s", retry_after_s=1) from error

    async def _post(self, body: Mapping[str, object], timeout_s: float) -> _Reply:
        try:
            headers = {**self._headers, **trace_headers()}
            response = await self._client.post(self._url, json=body, headers=headers, timeout=timeout_s)
        except httpx.ReadTimeout:
            raise
        except httpx.HTTPError as error:
            raise Unavailable(f"Voyage cannot be reached: {type(error).__name__}", retry_after_s=1) from error
        if not response.is_success:
            raise _refusal(response)
        try:
            return _Reply.model_validate_json(response.content)
        except ValidationError as error:
            raise Unavailable("Voyage returned a response without embeddings") from error

    def _record(self, tokens: int, outcome: str) -> None:
        model = str(self._body["model"])
        cost_micro_usd = round(tokens * self._price_micro_usd / 1_000_000)
        self._costs.record(
            provider=PROVIDER, model=model, tokens=tokens, cost_micro_usd=cost_micro_usd, outcome=outcome
        )

    async def forget(self, tenant_id: str) -> None:
        """Do nothing: nothing is cached here."""

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _estimate_tokens(texts: Sequence[str]) -> int:
    return sum(len(text.encode()) for text in texts) // _BYTES_PER_TOKEN


def _refusal(response: httpx.Response) -> MeshError:
    if response.status_code in (401, 403):
        return errors.credentials_refused("Voyage")
    retry_after = response.headers.get("retry-after", "")
    retry_after_s = float(retry_after) if retry_after.isdecimal() else 1.0
    return Unavailable(f"Voyage returned HTTP status {response.status_code}", retry_after_s=retry_after_s)
