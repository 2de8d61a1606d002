"""Conversion between proto messages and domain values."""

from __future__ import annotations

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hocket.rag.v1 import rag_pb2

from services.rag import validation
from services.rag.ingest.documents import Document, DocumentInfo, IngestResult
from services.rag.search.query import Passage, SearchResult


def document(message: rag_pb2.Document) -> Document:
    """Validate and convert a document. Raises InvalidArgument."""
    return validation.validate_document(message.document_id, message.title, message.text, message.metadata)


def budget_s(request: rag_pb2.SearchRequest) -> float | None:
    """Return the budget in seconds, None if unset."""
    return request.budget.ToNanoseconds() / 1e9 if request.HasField("budget") else None


def search_response(result: SearchResult) -> rag_pb2.SearchResponse:
    """Convert the result of a search."""
    return rag_pb2.SearchResponse(
        passages=map(_passage, result.passages),
        timings=[rag_pb2.StageTiming(stage=stage, elapsed=_duration(s)) for stage, s in result.timings_s],
        degraded=result.degraded,
    )


def ingest_response(result: IngestResult) -> rag_pb2.IngestResponse:
    """Convert the result of ingesting a document."""
    return rag_pb2.IngestResponse(
        document_id=result.document_id,
        passages=result.passages,
        unchanged=result.unchanged,
        error=result.error,
        degraded=result.degraded,
    )


def document_info(info: DocumentInfo) -> rag_pb2.DocumentInfo:
    """Convert one entry of a document list."""
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


def _passage(passage: Passage) -> rag_pb2.Passage:
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


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromTimedelta(timedelta(seconds=seconds))
    return duration
