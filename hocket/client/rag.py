"""Client of hocket.rag.v1.RagService: searches and maintains a tenant's knowledge."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

from google.protobuf.duration_pb2 import Duration
from hocket.rag.v1 import rag_pb2, rag_pb2_grpc

from hocket.chassis.channel import MeshChannel
from hocket.chassis.duplex import DuplexStream
from hocket.chassis.status import mesh_errors

SERVICE = "hocket.rag.v1.RagService"
# Methods that gRPC may retry; pass them to MeshChannel(idempotent=...).
IDEMPOTENT = tuple((SERVICE, method) for method in ("Search", "DeleteDocument", "ListDocuments"))

# Added to the search budget for the deadline: the network, and the step that was running when the budget ended.
_SEARCH_SLACK_S = 0.5


class RagClient:
    """Calls the rag service for the tenant that the channel's token names.

    Every method raises an error of hocket.chassis.errors: InvalidArgument for a wrong field, Unavailable without the
    service or its database, DeadlineExceeded after the timeout.

    Example:
            async with MeshChannel("dns:///rag:50051", token, idempotent=IDEMPOTENT) as channel:
                rag = RagClient(channel)
                async for stored in rag.ingest([Document(document_id="warranty", text="Lamps: two years.")]):
                    print(stored.document_id, stored.passages, stored.error)
                found = await rag.search("how long is the warranty", k=3)
                for passage in found.passages:
                    print(passage.document_id, passage.score, passage.text)
    """

    def __init__(self, channel: MeshChannel) -> None:
        """Create a client.

        Args:
            channel: Connection to the rag service. The caller closes it.
        """
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
        """Find the passages that answer a question best.

        Args:
            query: The question in plain words, 1 to 4096 bytes.
            k: Passages to return at most, 1 to 100.
            filters: Search only documents whose metadata holds all of these pairs, at most 16.
            budget_s: Seconds for the search, over 0 to 30. Steps that do not fit are skipped and named in `degraded`.
            timeout_s: Deadline of the call, in seconds; None for `budget_s` and half a second.

        Returns:
            Passages, best first, with timings and skipped steps.

        Raises:
            ResourceExhausted: The tenant's limit of queries is spent; `retry_after_s` is the wait.
        """
        budget = Duration()
        budget.FromNanoseconds(int(budget_s * 1e9))
        request = rag_pb2.SearchRequest(query=query, k=k, filters=dict(filters or {}), budget=budget)
        deadline_s = budget_s + _SEARCH_SLACK_S if timeout_s is None else timeout_s
        with mesh_errors():
            return await self._stub.Search(request, **self._channel.options(deadline_s))

    async def ingest(
        self, documents: Iterable[rag_pb2.Document], *, timeout_s: float = 600
    ) -> AsyncGenerator[rag_pb2.IngestResponse, None]:
        """Add or replace documents, one after the other.

        Args:
            documents: The documents. Each is sent after the previous one was answered.
            timeout_s: Deadline for all of them, in seconds.

        Yields:
            One response per document, in order, when it is durable. A refused document has its `error` set; the next
            ones continue. Closing the generator ends the call.
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
        """Delete a document and its passages.

        Args:
            document_id: Id of the document.
            timeout_s: Deadline of the call, in seconds.

        Returns:
            How many passages were deleted.

        Raises:
            NotFound: The tenant has no such document (reason DOCUMENT_NOT_FOUND).
        """
        request = rag_pb2.DeleteDocumentRequest(document_id=document_id)
        with mesh_errors():
            response = await self._stub.DeleteDocument(request, **self._channel.options(timeout_s))
        return response.passages_deleted

    async def delete_tenant(self, tenant_id: str, *, timeout_s: float = 30) -> rag_pb2.DeleteTenantResponse:
        """Delete every document of the token's tenant.

        Args:
            tenant_id: Confirmation: must be the tenant of the token.
            timeout_s: Deadline of the call, in seconds.

        Returns:
            How many documents and passages were deleted.

        Raises:
            PermissionDenied: The token lacks the scope "rag.admin", or `tenant_id` is another tenant.
        """
        request = rag_pb2.DeleteTenantRequest(confirm_tenant_id=tenant_id)
        with mesh_errors():
            return await self._stub.DeleteTenant(request, **self._channel.options(timeout_s))

    async def list_documents(
        self, *, page_size: int = 100, timeout_s: float = 10
    ) -> AsyncGenerator[rag_pb2.DocumentInfo, None]:
        """List every document of the tenant.

        Args:
            page_size: Documents per call, 1 to 1000.
            timeout_s: Deadline of each call, in seconds.

        Yields:
            Documents in the order of their ids.
        """
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
        """Turn texts into vectors.

        Args:
            texts: 1 to 128 texts of at most 32 KiB each.
            query: True for texts that are questions, False for documents; the vendor embeds the two differently.
            timeout_s: Deadline of the call, in seconds.

        Returns:
            One vector of unit length per text, in order, and the model's name.

        Raises:
            FailedPrecondition: The vendor refused the configured key (reason VENDOR_CREDENTIALS).
        """
        with mesh_errors():
            return await self._stub.Embed(
                rag_pb2.EmbedRequest(texts=texts, query=query), **self._channel.options(timeout_s)
            )
