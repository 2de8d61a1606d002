"""Servicer of RagService: proto to domain, flow, domain to proto."""
# ruff: noqa: ARG002 - gRPC passes request and context to every method

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial

from hocket.rag.v1 import rag_pb2, rag_pb2_grpc

from hocket.chassis import deadline, identity
from hocket.chassis.guard import Context
from services.rag import telemetry, validation, wire
from services.rag.flow import KnowledgeBase
from services.rag.ingest.documents import IngestResult

FULL_NAME = "hocket.rag.v1.RagService"
ADMIN_SCOPE = "rag.admin"
# Part of the call's deadline that is kept for the response.
_REPLY_S = 0.01


class RagServicer(rag_pb2_grpc.RagServiceServicer):
    """Serves RagService for the tenant of each call's token."""

    def __init__(self, knowledge: KnowledgeBase, *, search_budget_s: float) -> None:
        """Create a servicer.

        Args:
            knowledge: The flow.
            search_budget_s: Budget of searches that set none, in seconds.
        """
        self._knowledge = knowledge
        self._search_budget_s = search_budget_s

    async def Search(self, request: rag_pb2.SearchRequest, context: Context) -> rag_pb2.SearchResponse:
        """Find the passages that answer a query."""
        with telemetry.counted_query():
            query = validation.validate_query(
                request.query,
                k=request.k,
                filters=request.filters,
                budget_s=wire.budget_s(request),
                budget_s_default=self._search_budget_s,
                left_s=_left_s(),
            )
            result = await self._knowledge.search(identity.current().tenant_id, query)
        telemetry.count_search(result)
        return wire.search_response(result)

    async def Ingest(
        self, request_iterator: AsyncIterator[rag_pb2.IngestRequest], context: Context
    ) -> AsyncGenerator[rag_pb2.IngestResponse, None]:
        """Add or replace documents; each response follows when its document is durable."""
        tenant_id = identity.current().tenant_id
        async for request in request_iterator:
            result = await self._knowledge.ingest(
                tenant_id, partial(wire.document, request.document), request.document.document_id
            )
            telemetry.INGESTED.labels(_outcome(result)).inc()
            yield wire.ingest_response(result)

    async def DeleteDocument(
        self, request: rag_pb2.DeleteDocumentRequest, context: Context
    ) -> rag_pb2.DeleteDocumentResponse:
        """Delete a document."""
        document_id = validation.validate_document_id(request.document_id)
        passages = await self._knowledge.delete_document(identity.current().tenant_id, document_id)
        return rag_pb2.DeleteDocumentResponse(passages_deleted=passages)

    async def DeleteTenant(
        self, request: rag_pb2.DeleteTenantRequest, context: Context
    ) -> rag_pb2.DeleteTenantResponse:
        """Delete everything of the caller's tenant."""
        caller = identity.current()
        caller.require_scope(ADMIN_SCOPE)
        documents, passages = await self._knowledge.delete_tenant(caller.tenant_id, request.confirm_tenant_id)
        return rag_pb2.DeleteTenantResponse(documents_deleted=documents, passages_deleted=passages)

    async def ListDocuments(
        self, request: rag_pb2.ListDocumentsRequest, context: Context
    ) -> rag_pb2.ListDocumentsResponse:
        """List a page of documents."""
        tenant_id = identity.current().tenant_id
        found, next_token = await self._knowledge.documents(tenant_id, request.page_size, request.page_token)
        return rag_pb2.ListDocumentsResponse(documents=map(wire.document_info, found), next_page_token=next_token)

    async def Embed(self, request: rag_pb2.EmbedRequest, context: Context) -> rag_pb2.EmbedResponse:
        """Turn texts into vectors."""
        tenant_id = identity.current().tenant_id
        vectors = await self._knowledge.embed(tenant_id, request.texts, query=request.query)
        embeddings = [rag_pb2.Embedding(values=values) for values in vectors.values]
        return rag_pb2.EmbedResponse(embeddings=embeddings, model=vectors.model)


def _left_s() -> float | None:
    left = deadline.remaining()
    return None if left is None else left - _REPLY_S


def _outcome(result: IngestResult) -> str:
    if result.error:
        return "refused"
    return "unchanged" if result.unchanged else "stored"
