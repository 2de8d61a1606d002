"""Knowledge of the two demo tenants: the documents, their ingestion, and a search."""

from __future__ import annotations

from hocket.rag.v1.rag_pb2 import Document

from hocket.chassis.errors import FailedPrecondition
from hocket.client.rag import RagClient
from local.demo import script


def demo_documents() -> list[Document]:
    """Return the documents of the demo tenant: the files of examples/knowledge."""
    files = sorted(script.KNOWLEDGE_FOLDER.glob("*.md"))
    return [Document(document_id=file.stem, text=file.read_text(encoding="utf-8")) for file in files]


def other_documents() -> list[Document]:
    """Return the documents of the other tenant."""
    return [Document(document_id=script.OTHER_DOCUMENT, text=script.OTHER_KNOWLEDGE)]


async def ingest(client: RagClient, documents: list[Document]) -> int:
    """Ingest `documents` and return the number of passages.

    Raises:
        FailedPrecondition: rag rejected a document.
    """
    passages = 0
    async for result in client.ingest(documents):
        if result.error:
            raise FailedPrecondition(f"document {result.document_id}: {result.error}")
        passages += result.passages
    return passages


async def search_document_ids(client: RagClient, query: str) -> list[str]:
    """Return the ids of the documents that match `query`, without duplicates, best first."""
    response = await client.search(query, k=20, budget_s=2)
    return list(dict.fromkeys(passage.document_id for passage in response.passages))
