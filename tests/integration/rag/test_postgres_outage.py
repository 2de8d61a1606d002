"""The service with a Postgres that is killed or frozen, and with a role that bypasses row-level security."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
import psutil
import pytest
from hocket.rag.v1 import rag_pb2

from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel
from hocket.chassis.errors import DeadlineExceeded, Unavailable
from hocket.chassis.server import MeshServer
from hocket.client.rag import RagClient
from hocket.postgres.migrations import migrate
from hocket.postgres.tenant_database import TenantDatabase
from local.data_folder import DataFolder
from local.embedded import postgres
from local.mesh import Mesh
from services.rag.__main__ import build
from services.rag.adapters.postgres_store import MIGRATIONS, SCHEMA
from services.rag.settings import Settings
from tests.fakes.waiting import DEADLINE_S

SECRET = "a-secret-of-32-bytes-for-tests-only!"


@asynccontextmanager
async def serving(urls) -> AsyncIterator[tuple[RagClient, MeshServer]]:
    await migrate(urls.owner_url, SCHEMA, MIGRATIONS)
    settings = Settings(postgres_url=urls.app_url, jwt_secret=SECRET, drain_grace_s=0.2)
    token = TokenMinter(SECRET).mint("acme", caller="test")
    async with AsyncExitStack() as resources:
        server = MeshServer("rag", settings, await build(settings, resources))
        await server.start()
        resources.push_async_callback(server.stop)
        channel = await resources.enter_async_context(MeshChannel(f"127.0.0.1:{server.grpc_port}", lambda: token))
        yield RagClient(channel), server


def document(i: int) -> rag_pb2.Document:
    return rag_pb2.Document(document_id=f"d{i}", text=f"Walrus number {i} is here. " * 20)


@pytest.fixture
async def mesh(tmp_path) -> AsyncIterator[Mesh]:
    async with Mesh.start(tmp_path, services=(), servers=("postgres",)) as running:
        yield running


async def test_documents_answered_before_a_crash_of_postgres_are_durable(mesh):
    async with serving(mesh.postgres_urls) as (rag, server):
        assert server.readiness.ready
        durable = []

        async def ingest() -> None:
            async for response in rag.ingest(document(i) for i in range(100_000)):
                durable.append(response.document_id)
                if len(durable) == 20:
                    mesh.kill("postgres")

        with pytest.raises(Unavailable):
            await asyncio.wait_for(ingest(), DEADLINE_S)
        with pytest.raises(Unavailable):
            await rag.search("walrus", budget_s=10)
        await server.readiness.refresh()
        assert not server.readiness.ready

        await mesh.restart("postgres")
        found = await rag.search("walrus", k=100, budget_s=20)
        listed = [info.document_id async for info in rag.list_documents()]
        # The document in progress may be committed without its response, but never in part.
        assert set(durable) <= set(listed) <= {*durable, f"d{len(durable)}"}
        assert {passage.document_id for passage in found.passages} == set(listed)
        await server.readiness.refresh()
        assert server.readiness.ready


async def test_role_with_bypassrls_is_refused(mesh):
    urls = mesh.postgres_urls
    admin = postgres.admin_url(urlsplit(urls.app_url).port, DataFolder(mesh.data_dir).secrets()["postgres_admin"])
    connection = await asyncpg.connect(admin)
    await connection.execute("ALTER ROLE hocket_app BYPASSRLS")
    await connection.close()
    for url in (urls.app_url, admin):
        database = TenantDatabase(url)
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="BYPASSRLS"):
            await database.check()
        await database.close()
    async with serving(urls) as (_, server):
        assert "BYPASSRLS" in server.readiness.problems()["postgres"]


async def test_frozen_postgres_is_bounded_by_the_callers_deadline(mesh):
    async with serving(mesh.postgres_urls) as (rag, server):
        await anext(rag.ingest([document(1)]))
        server_process = psutil.Process(mesh.pid("postgres"))
        processes = [server_process, *server_process.children(recursive=True)]
        for process in processes:
            process.suspend()
        try:
            # More calls than connections, twice: the second round reuses the cancelled connections.
            for _ in range(2):
                async with asyncio.timeout(DEADLINE_S):
                    found = await asyncio.gather(*(rag.search("walrus", budget_s=0.2, timeout_s=5) for _ in range(15)))
                assert {(len(answer.passages), *answer.degraded) for answer in found} == {(0, "lexical: budget")}
            with pytest.raises(DeadlineExceeded):
                await rag.delete_document("d1", timeout_s=0.3)
            await server.readiness.refresh()
            assert not server.readiness.ready
        finally:
            for process in processes:
                process.resume()
        await server.readiness.refresh()
        assert server.readiness.ready
        assert (await rag.search("walrus", budget_s=10)).passages
