"""Every RPC of RagService over a gRPC socket, with an in-memory store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from hocket.rag.v1 import rag_pb2, rag_pb2_grpc

from hocket.chassis import errors
from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel
from hocket.chassis.clock import SystemClock
from hocket.chassis.server import Assembly, MeshServer, Servicer
from hocket.chassis.settings import ServerSettings
from hocket.chassis.status import mesh_errors
from hocket.client.rag import IDEMPOTENT, RagClient
from services.rag.adapters.hashed_embedder import HashedEmbedder
from services.rag.adapters.memory_store import MemoryStore
from services.rag.adapters.ratelimit import NoQueryLimit
from services.rag.flow import KnowledgeBase
from services.rag.server import FULL_NAME, RagServicer
from tests.fakes.waiting import DEADLINE_S

SECRET = "a-secret-of-32-bytes-for-tests-only!"
MINTER = TokenMinter(SECRET)
ACME = MINTER.mint("acme", caller="test")


class SlowStore(MemoryStore):
    """Never answers a search; records its cancellation."""

    def __init__(self) -> None:
        super().__init__()
        self.called = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def lexical(self, *_):
        self.called.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


class GoneStore(MemoryStore):
    """Becomes unavailable after the first document."""

    async def replace(self, tenant_id, document, *rest):
        if document.document_id != "first":
            raise errors.Unavailable("Postgres does not answer", retry_after_s=1)
        await super().replace(tenant_id, document, *rest)


@asynccontextmanager
async def serving(store: MemoryStore | None = None, **values: object) -> AsyncIterator[int]:
    knowledge = KnowledgeBase(
        store or MemoryStore(), HashedEmbedder(), NoQueryLimit(), SystemClock(), passage_bytes_max=1000
    )
    servicer = RagServicer(knowledge, search_budget_s=0.3)
    assembly = Assembly(
        [Servicer(FULL_NAME, lambda server: rag_pb2_grpc.add_RagServiceServicer_to_server(servicer, server))]
    )
    server = MeshServer("rag", ServerSettings(jwt_secret=SECRET, drain_grace_s=0.2, **values), assembly)
    await server.start()
    try:
        yield server.grpc_port
    finally:
        await server.stop()


@asynccontextmanager
async def client(port: int, token: str = ACME) -> AsyncIterator[RagClient]:
    async with MeshChannel(f"127.0.0.1:{port}", lambda: token, idempotent=IDEMPOTENT) as channel:
        yield RagClient(channel)


def document(document_id: str, text: str, **metadata: str) -> rag_pb2.Document:
    return rag_pb2.Document(document_id=document_id, title=f"About {document_id}", text=text, metadata=metadata)


async def ingested(rag: RagClient, *documents: rag_pb2.Document) -> list[rag_pb2.IngestResponse]:
    return [response async for response in rag.ingest(documents)]


async def test_ingested_document_is_found_with_span_headings_and_metadata():
    text = "# Café\n\nOpen daily.\n\n## Coffee ☕\n\nThe coffee machine is on the third floor.\n"
    async with serving() as port, client(port) as rag:
        (stored,) = await ingested(rag, document("cafe", text, lang="en"))
        response = await rag.search("where is the coffee machine", k=1)
    assert (stored.document_id, stored.passages, stored.unchanged, stored.error) == ("cafe", 2, False, "")
    (passage,) = response.passages
    assert passage.text == text.encode()[passage.start_byte : passage.end_byte].decode()
    assert passage.text == "The coffee machine is on the third floor."
    assert (
        passage.title,
        list(passage.headings),
        dict(passage.metadata),
    ) == ("About cafe", ["Café", "Coffee ☕"], {"lang": "en"})
    assert passage.score > 0
    assert ([timing.stage for timing in response.timings], list(response.degraded)) == (["lexical"], [])


async def test_same_content_is_unchanged_and_new_content_replaces():
    async with serving() as port, client(port) as rag:
        first, second, third = await ingested(
            rag, document("a", "Old tea."), document("a", "Old tea."), document("a", "New coffee.")
        )
        old, new = await rag.search("tea"), await rag.search("coffee")
    assert [first.unchanged, second.unchanged, third.unchanged] == [False, True, False]
    assert ([p.text for p in old.passages], [p.text for p in new.passages]) == ([], ["New coffee."])


async def test_invalid_document_has_an_error_and_the_stream_continues():
    async with serving() as port, client(port) as rag:
        responses = await ingested(rag, document("a\n", "x"), document("b", ""), document("c", "fine"))
    assert [r.error.partition(":")[0] for r in responses] == ["document.document_id", "document.text", ""]
    assert [response.document_id for response in responses] == ["a\n", "b", "c"]


async def test_unavailable_store_ends_the_ingest_stream():
    async with serving(GoneStore()) as port, client(port) as rag:
        responses = rag.ingest([document("first", "a"), document("second", "b")])
        first = await anext(responses)
        with pytest.raises(errors.Unavailable) as caught:
            await anext(responses)
    assert (first.document_id, caught.value.reason) == ("first", "DEPENDENCY_UNAVAILABLE")


async def test_filters_and_k_restrict_the_result():
    async with serving() as port, client(port) as rag:
        await ingested(rag, *(document(f"d{i}", "Tea is free.", floor=str(i % 2)) for i in range(10)))
        even = await rag.search("tea", k=100, filters={"floor": "0"})
        default = await rag.search("tea", k=0)
    assert {"d0", "d2", "d4", "d6", "d8"} == {passage.document_id for passage in even.passages}
    assert len(default.passages) == 5


async def test_query_without_matches_returns_no_passages():
    async with serving() as port, client(port) as rag:
        assert list((await rag.search("what is it")).passages) == []
        assert list((await rag.search("zebra")).passages) == []


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({"query": ""}, "query"),
        ({"query": "x" * 4097}, "query"),
        ({"query": "a\0"}, "query"),
        ({"query": "a", "k": 101}, "k"),
        ({"query": "a", "k": -1}, "k"),
        ({"query": "a", "filters": {str(i): "" for i in range(17)}}, "filters"),
        ({"query": "a", "budget_s": -1.0}, "budget"),
    ],
)
async def test_invalid_search_names_the_field(request_fields, field):
    async with serving() as port, client(port) as rag:
        with pytest.raises(errors.InvalidArgument) as caught:
            await rag.search(**{"timeout_s": 600, **request_fields})
    assert [field] == list(caught.value.fields)


async def test_documents_are_listed_by_id_over_several_pages():
    names = ["b", "a", "é", "B", "c"]
    async with serving() as port, client(port) as rag:
        await ingested(rag, *(document(name, "x y z.", n=name) for name in names))
        listed = [info async for info in rag.list_documents(page_size=2)]
    assert sorted(names) == [info.document_id for info in listed]
    assert (listed[0].passages, listed[0].size_bytes, dict(listed[0].metadata)) == (1, 6, {"n": "B"})
    assert listed[0].updated_at.seconds > 0


async def test_invalid_page_names_the_field():
    async with serving() as port, MeshChannel(f"127.0.0.1:{port}", lambda: ACME) as channel:
        stub = rag_pb2_grpc.RagServiceStub(channel.channel)
        for fields, name in (({"page_size": 1001}, "page_size"), ({"page_token": "!"}, "page_token")):
            with pytest.raises(errors.InvalidArgument) as caught, mesh_errors():
                await stub.ListDocuments(rag_pb2.ListDocumentsRequest(**fields), **channel.options(5))
            assert [name] == list(caught.value.fields)


async def test_second_deletion_of_a_document_is_not_found():
    async with serving() as port, client(port) as rag:
        await ingested(rag, document("a", "Tea.\n\n# Two\nCoffee."))
        assert await rag.delete_document("a") == 2
        assert list((await rag.search("tea", timeout_s=600)).passages) == []
        with pytest.raises(errors.NotFound) as caught:
            await rag.delete_document("a")
        with pytest.raises(errors.InvalidArgument):
            await rag.delete_document("")
    assert caught.value.reason == "DOCUMENT_NOT_FOUND"


async def test_delete_tenant_needs_the_admin_scope_and_the_confirmation():
    admin = MINTER.mint("acme", caller="test", scopes=frozenset({"rag.admin"}))
    async with serving() as port, client(port) as rag, client(port, admin) as allowed:
        await ingested(rag, document("a", "Tea."), document("b", "Tea."))
        with pytest.raises(errors.PermissionDenied) as unscoped:
            await rag.delete_tenant("acme")
        with pytest.raises(errors.PermissionDenied) as unconfirmed:
            await allowed.delete_tenant("globex")
        deleted = await allowed.delete_tenant("acme")
        remaining = (await rag.search("tea")).passages
    assert (unscoped.value.reason, unconfirmed.value.reason) == ("SCOPE_MISSING", "TENANT_MISMATCH")
    assert (deleted.documents_deleted, deleted.passages_deleted, list(remaining)) == (2, 2, [])


async def test_embed_returns_unit_vectors_in_order_and_the_model():
    async with serving() as port, client(port) as rag:
        response = await rag.embed(["parking", "coffee", "parking"])
        with pytest.raises(errors.InvalidArgument) as caught:
            await rag.embed(["a", ""])
    first, second, third = ([*embedding.values] for embedding in response.embeddings)
    assert (response.model, len(first)) == ("hashed-384", 384)
    assert first == third != second
    assert abs(sum(value * value for value in first) - 1) < 1e-6
    assert list(caught.value.fields) == ["texts[1]"]


async def test_tenants_with_the_same_document_ids_are_isolated():
    globex = MINTER.mint("globex", caller="test")
    async with serving() as port, client(port) as acme_rag, client(port, globex) as globex_rag:
        await ingested(acme_rag, document("same", "Our secret walrus."))
        await ingested(globex_rag, document("same", "Their secret penguin."))
        assert [p.text for p in (await acme_rag.search("secret walrus penguin")).passages] == ["Our secret walrus."]
        assert await globex_rag.delete_document("same") == 1
        assert [info.document_id async for info in acme_rag.list_documents()] == ["same"]


@pytest.mark.parametrize("token", ["", "nonsense", MINTER.mint("acme", caller="test", ttl_s=-60)])
async def test_every_rpc_needs_a_valid_token(token):
    async def first(stream):
        return await anext(aiter(stream))

    async with serving() as port, client(port, token) as rag:
        calls = [
            rag.search("tea"),
            first(rag.ingest([document("a", "x")])),
            first(rag.list_documents()),
            rag.delete_document("a"),
            rag.delete_tenant("acme"),
            rag.embed(["a"]),
        ]
        for call in calls:
            with pytest.raises(errors.Unauthenticated):
                await call


async def test_deadline_bounds_the_budget(monkeypatch):
    # The reply has 29 s instead of 10 ms, which a busy machine exceeds.
    monkeypatch.setattr("services.rag.server._REPLY_S", 29.0)
    async with serving(SlowStore()) as port, client(port) as rag:
        response = await rag.search("tea", budget_s=30, timeout_s=30)
    assert (list(response.passages), list(response.degraded)) == ([], ["lexical: budget"])


async def test_cancelled_search_stops():
    store = SlowStore()
    async with serving(store) as port, client(port) as rag:
        call = asyncio.create_task(rag.search("tea", budget_s=20))
        await asyncio.wait_for(store.called.wait(), DEADLINE_S)
        call.cancel()
        await asyncio.wait_for(store.cancelled.wait(), DEADLINE_S)


async def test_document_over_the_message_size_is_refused():
    async with serving(message_bytes_max=1024) as port, client(port) as rag:
        with pytest.raises(errors.InvalidArgument) as caught:
            await ingested(rag, document("a", "x" * 5000))
    assert caught.value.reason == "TOO_LARGE"


async def test_ingest_stream_may_be_closed_early():
    async with serving() as port, client(port) as rag:
        stream = rag.ingest([document(f"d{i}", "Tea.") for i in range(50)])
        assert (await anext(stream)).document_id == "d0"
        await stream.aclose()
        assert 1 <= len((await rag.search("tea", k=100)).passages) <= 50


async def test_empty_ingest_request_has_an_error():
    async with serving() as port, MeshChannel(f"127.0.0.1:{port}", lambda: ACME) as channel:
        call = rag_pb2_grpc.RagServiceStub(channel.channel).Ingest([rag_pb2.IngestRequest()], **channel.options(5))
        (response,) = [response async for response in call]
    assert await call.code() == grpc.StatusCode.OK
    assert response.error.startswith("document.document_id:")
