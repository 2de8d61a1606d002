"""Passages of a tenant's knowledge over gRPC: search within a budget, ingest, list, delete, embed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

from google.protobuf.duration_pb2 import Duration
from hocket.rag.v1 import rag_pb2, rag_pb2_grpc

from hocket.chassis.channel import MeshChannel
from hocket.chassis.duplex import DuplexStream
from hocket.chassis.status import mesh_errors

SERVICE = "hocket.rag.v1.RagService"
# Give to MeshChannel(idempotent=...): calls that gRPC may send again when a server was not there.
IDEMPOTENT = tuple((SERVICE, method) for method in ("Search", "DeleteDocument", "ListDocuments"))

# On top of the budget: the way there and back, and the step that was running when the budget ended.
_SEARCH_SLACK_S = 0.5


class RagClient:
    """Calls the rag service for the tenant of the channel's token. Failures are raised as hocket.chassis.errors."""

    def __init__(self, channel: MeshChannel) -> None:
        """Use `channel`, which stays its owner's to close."""
        self._channel = channel
        self._stub = rag_pb2_grpc.RagServiceStub(channel.channel)

    async def search(
        self,
        query: str,
        *,
        k: int = 5,
        filters: Mapping[str, str] | None = None,
        budget_s: float = 0.3,
        timeout_s: float | None = None,
    ) -> rag_pb2.SearchResponse:
        """The `k` passages that answer `query` best, among documents whose metadata holds all `filters`.

        Steps that do not fit into `budget_s` seconds are left out and named in the response. `timeout_s` ends the call
        with DeadlineExceeded; it is the budget and half a second unless given.
        """
        budget = Duration()
        budget.FromNanoseconds(int(budget_s * 1e9))
        request = rag_pb2.SearchRequest(query=query, k=k, filters=dict(filters or {}), budget=budget)
        limit_s = budget_s + _SEARCH_SLACK_S if timeout_s is None else timeout_s
        with mesh_errors():
            return await self._stub.Search(request, **self._channel.options(limit_s))

    async def ingest(
        self, documents: Iterable[rag_pb2.Document], *, timeout_s: float = 600
    ) -> AsyncGenerator[rag_pb2.IngestResponse, None]:
        """Add or replace documents; one answer each, in order, when it is durable.

        A document that is refused is answered with `error` and the rest goes on. Closing the generator ends the call.
        """
        call = self._stub.Ingest(**self._channel.options(timeout_s))
        async with DuplexStream[rag_pb2.IngestRequest, rag_pb2.IngestResponse](call) as stream:
            for document in documents:
                await stream.send(rag_pb2.IngestRequest(document=document))
                response = await stream.receive()
                if response is None:
                    return
                yield response
            await stream.end()
            await stream.receive()

    async def delete_document(self, document_id: str, *, timeout_s: float = 10) -> int:
        """Remove a document; returns how many passages went. Raises NotFound."""
        request = rag_pb2.DeleteDocumentRequest(document_id=document_id)
        with mesh_errors():
            response = await self._stub.DeleteDocument(request, **self._channel.options(timeout_s))
        return response.passages_deleted

    async def delete_tenant(self, tenant_id: str, *, timeout_s: float = 30) -> rag_pb2.DeleteTenantResponse:
        """Remove all the token's tenant has stored. `tenant_id` must be that tenant; the token needs "rag.admin"."""
        request = rag_pb2.DeleteTenantRequest(confirm_tenant_id=tenant_id)
        with mesh_errors():
            return await self._stub.DeleteTenant(request, **self._channel.options(timeout_s))

    async def list_documents(
        self, *, page_size: int = 100, timeout_s: float = 10
    ) -> AsyncGenerator[rag_pb2.DocumentInfo, None]:
        """Every document of the tenant by id, fetched in pages of `page_size`; `timeout_s` bounds each page."""
        page_token = ""
        while True:
            request = rag_pb2.ListDocumentsRequest(page_size=page_size, page_token=page_token)
            with mesh_errors():
                response = await self._stub.ListDocuments(request, **self._channel.options(timeout_s))
            for document in response.documents:
                yield document
            page_token = response.next_page_token
            if not page_token:
                return

    async def embed(self, texts: Sequence[str], *, query: bool = False, timeout_s: float = 10) -> rag_pb2.EmbedResponse:
        """Vectors of unit length in the order of `texts` (1 to 128), and the model that made them."""
        with mesh_errors():
            return await self._stub.Embed(
                rag_pb2.EmbedRequest(texts=texts, query=query), **self._channel.options(timeout_s)
            )
