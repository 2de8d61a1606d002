"""The servicer: requests to the domain's words and back."""
# ruff: noqa: ARG002 - gRPC passes request and context to every method

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from datetime import timedelta
from functools import partial

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hocket.rag.v1 import rag_pb2, rag_pb2_grpc
from prometheus_client import Counter, Histogram

from hocket.chassis import deadline, identity
from hocket.chassis.guard import Context
from services.rag import limits
from services.rag.flow import Knowledge
from services.rag.knowledge import Answer, Document, DocumentInfo, Ingested, Passage

FULL_NAME = "hocket.rag.v1.RagService"
ADMIN_SCOPE = "rag.admin"
# Kept back of the call's own deadline for the way out.
_REPLY_S = 0.01

_STAGE_SECONDS = Histogram(
    "hocket_rag_search_stage_seconds",
    "Duration of the steps of a search.",
    ["stage"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
)
_DEGRADED = Counter("hocket_rag_search_degraded_steps", "Steps of a search that were left out.", ["stage"])
_DOCUMENTS = Counter("hocket_rag_ingested_documents", "Documents taken in, by outcome.", ["outcome"])


class RagServicer(rag_pb2_grpc.RagServiceServicer):
    """Serves RagService for the tenant of each call's token."""

    def __init__(self, knowledge: Knowledge, *, search_budget_s: float) -> None:
        """Searches that name no budget get `search_budget_s` seconds."""
        self._knowledge = knowledge
        self._search_budget_s = search_budget_s

    async def Search(self, request: rag_pb2.SearchRequest, context: Context) -> rag_pb2.SearchResponse:
        """Find passages."""
        question = limits.acceptable_question(
            request.query,
            k=request.k,
            filters=request.filters,
            budget_s=request.budget.ToNanoseconds() / 1e9 if request.HasField("budget") else None,
            budget_s_default=self._search_budget_s,
            left_s=_left_s(),
        )
        answer = await self._knowledge.search(identity.current().tenant_id, question)
        _count(answer)
        return _answer_message(answer)

    async def Ingest(
        self, request_iterator: AsyncIterator[rag_pb2.IngestRequest], context: Context
    ) -> AsyncGenerator[rag_pb2.IngestResponse, None]:
        """Store documents, each answered when it is durable."""
        tenant_id = identity.current().tenant_id
        async for request in request_iterator:
            ingested = await self._knowledge.ingest(
                tenant_id, partial(_document, request.document), request.document.document_id
            )
            _DOCUMENTS.labels(_outcome(ingested)).inc()
            yield rag_pb2.IngestResponse(
                document_id=ingested.document_id,
                passages=ingested.passages,
                unchanged=ingested.unchanged,
                error=ingested.error,
                degraded=ingested.degraded,
            )

    async def DeleteDocument(
        self, request: rag_pb2.DeleteDocumentRequest, context: Context
    ) -> rag_pb2.DeleteDocumentResponse:
        """Remove a document."""
        document_id = limits.acceptable_document_id(request.document_id)
        passages = await self._knowledge.delete_document(identity.current().tenant_id, document_id)
        return rag_pb2.DeleteDocumentResponse(passages_deleted=passages)

    async def DeleteTenant(
        self, request: rag_pb2.DeleteTenantRequest, context: Context
    ) -> rag_pb2.DeleteTenantResponse:
        """Remove everything of the caller's tenant."""
        caller = identity.current()
        caller.require_scope(ADMIN_SCOPE)
        documents, passages = await self._knowledge.delete_tenant(caller.tenant_id, request.confirm_tenant_id)
        return rag_pb2.DeleteTenantResponse(documents_deleted=documents, passages_deleted=passages)

    async def ListDocuments(
        self, request: rag_pb2.ListDocumentsRequest, context: Context
    ) -> rag_pb2.ListDocumentsResponse:
        """List a page of documents."""
        tenant_id = identity.current().tenant_id
        found, more = await self._knowledge.documents(tenant_id, request.page_size, request.page_token)
        return rag_pb2.ListDocumentsResponse(documents=map(_info_message, found), next_page_token=more)

    async def Embed(self, request: rag_pb2.EmbedRequest, context: Context) -> rag_pb2.EmbedResponse:
        """Turn texts to vectors."""
        tenant_id = identity.current().tenant_id
        vectors = await self._knowledge.embed(tenant_id, request.texts, query=request.query)
        embeddings = [rag_pb2.Embedding(values=values) for values in vectors.values]
        return rag_pb2.EmbedResponse(embeddings=embeddings, model=vectors.model)


def _left_s() -> float | None:
    left = deadline.remaining()
    return None if left is None else left - _REPLY_S


def _document(sent: rag_pb2.Document) -> Document:
    return limits.acceptable_document(sent.document_id, sent.title, sent.text, sent.metadata)


def _outcome(ingested: Ingested) -> str:
    if ingested.error:
        return "refused"
    return "unchanged" if ingested.unchanged else "stored"


def _count(answer: Answer) -> None:
    for stage, elapsed_s in answer.timings_s:
        _STAGE_SECONDS.labels(stage).observe(elapsed_s)
    for step in answer.degraded:
        _DEGRADED.labels(step.partition(":")[0]).inc()


def _answer_message(answer: Answer) -> rag_pb2.SearchResponse:
    return rag_pb2.SearchResponse(
        passages=map(_passage_message, answer.passages),
        timings=[rag_pb2.StageTiming(stage=stage, elapsed=_duration(s)) for stage, s in answer.timings_s],
        degraded=answer.degraded,
    )


def _passage_message(passage: Passage) -> rag_pb2.Passage:
    return rag_pb2.Passage(
        document_id=passage.document_id,
        title=passage.title,
        text=passage.text,
        start_byte=passage.start_byte,
        end_byte=passage.end_byte,
        score=passage.score,
        metadata=passage.metadata,
        headings=passage.headings,
    )


def _info_message(info: DocumentInfo) -> rag_pb2.DocumentInfo:
    updated_at = Timestamp()
    updated_at.FromDatetime(info.updated_at)
    return rag_pb2.DocumentInfo(
        document_id=info.document_id,
        title=info.title,
        passages=info.passages,
        size_bytes=info.size_bytes,
        updated_at=updated_at,
        metadata=info.metadata,
    )


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromTimedelta(timedelta(seconds=seconds))
    return duration
