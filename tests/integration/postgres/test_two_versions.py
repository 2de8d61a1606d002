"""Roll-outs on a real Postgres: servers of two versions side by side, one that waits, and one that refuses.

A version is made of the shipped migrations and further ones: expand (a column that older servers do not know) and
contract (older servers would fail).
"""

from __future__ import annotations

import asyncio
import shutil
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from hocket.rag.v1 import rag_pb2

from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel
from hocket.chassis.errors import DeadlineExceeded, FailedPrecondition, Unavailable
from hocket.chassis.server import MeshServer
from hocket.client.rag import RagClient
from hocket.postgres.migrations import migrate
from hocket.postgres.schema_version import KnownSchema, read_migrations
from hocket.postgres.tenant_database import TenantDatabase
from services.rag import __main__ as rag_main
from services.rag.adapters.postgres_store import MIGRATIONS, SCHEMA
from services.rag.settings import Settings
from services.ratelimit.adapters import postgres_ledger
from services.ratelimit.adapters.postgres_ledger import PostgresLedger
from services.ratelimit.errors import LedgerUnavailable
from services.ratelimit.ledger.cost_events import CostEvent
from services.ratelimit.ledger.cost_sums import Period
from tests.fakes.waiting import DEADLINE_S, until

SECRET = "a-secret-of-32-bytes-for-tests-only!"
EXPAND = "-- compatible-since: 1\nALTER TABLE rag.documents ADD COLUMN language text NOT NULL DEFAULT 'en';\n"
CONTRACT = "-- compatible-since: 2\nALTER TABLE rag.documents ALTER COLUMN language DROP DEFAULT;\n"


def version(folder: Path, shipped: Path, *later: str) -> Path:
    """Return a folder with the shipped migrations and `later` ones."""
    shutil.copytree(shipped, folder)
    first = len(read_migrations(folder)) + 1
    for number, sql in enumerate(later, first):
        (folder / f"{number:04}_later.sql").write_text(sql)
    return folder


@pytest.fixture
def versions(tmp_path) -> tuple[Path, Path, Path]:
    """Folders of three releases of rag: the shipped one, one that expands, one that contracts."""
    return (
        MIGRATIONS,
        version(tmp_path / "2", MIGRATIONS, EXPAND),
        version(tmp_path / "3", MIGRATIONS, EXPAND, CONTRACT),
    )


@asynccontextmanager
async def serving(url, folder, monkeypatch):
    """A rag server of the release with the migrations of `folder`."""
    token = TokenMinter(SECRET).mint("acme", caller="test")
    with monkeypatch.context() as patch:
        patch.setattr(rag_main, "MIGRATIONS", folder)
        settings = Settings(postgres_url=url, jwt_secret=SECRET, drain_grace_s=0.2)
        async with AsyncExitStack() as resources:
            server = MeshServer("rag", settings, await rag_main.build(settings, resources))
            await server.start()
            resources.push_async_callback(server.stop)
            channel = await resources.enter_async_context(MeshChannel(f"127.0.0.1:{server.grpc_port}", lambda: token))
            yield RagClient(channel), server


async def answered(call):
    """Repeat a call whose statement a busy machine did not run in time, as callers do."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                return await call()
            except (Unavailable, DeadlineExceeded) as error:
                if isinstance(error, Unavailable) and "does not answer" not in error.message:
                    raise


async def ingest(rag: RagClient, document_id: str) -> None:
    text = f"The walrus of {document_id} is here."

    async def once() -> None:
        async for _ in rag.ingest([rag_pb2.Document(document_id=document_id, text=text)]):
            pass

    await answered(once)


async def found(rag: RagClient) -> set[str]:
    answer = await answered(lambda: rag.search("walrus", k=100, budget_s=20))
    return {passage.document_id for passage in answer.passages}


async def is_ready(server: MeshServer) -> None:
    await until(lambda: server.readiness.ready)  # by its own checks, every 2 s


async def is_refused(server: MeshServer, rag: RagClient, why: str) -> None:
    """The server is not ready and refuses a call, both for this reason."""
    await until(lambda: why in server.readiness.problems().get("postgres", ""))
    with pytest.raises(Unavailable) as caught:
        await answered(lambda: rag.delete_document("a"))
    assert why in caught.value.message


async def test_server_started_before_the_migration_waits_and_then_serves(fresh_postgres_urls, versions, monkeypatch):
    urls = fresh_postgres_urls
    async with serving(urls.app_url, versions[0], monkeypatch) as (rag, server):
        await is_refused(
            server, rag, "schema rag is at version 0, this server needs 1: run `hocket-rag migrate`; the server checks"
        )
        await migrate(urls.owner_url, SCHEMA, versions[0])
        await is_ready(server)
        await ingest(rag, "d1")
        assert await found(rag) == {"d1"}


async def test_old_and_new_servers_read_and_write_side_by_side(fresh_postgres_urls, versions, monkeypatch):
    urls, (old_release, new_release, _) = fresh_postgres_urls, versions
    await migrate(urls.owner_url, SCHEMA, old_release)
    async with serving(urls.app_url, old_release, monkeypatch) as (old, old_server):
        written = []

        async def write() -> None:
            while True:
                await ingest(old, f"old{len(written)}")
                written.append(f"old{len(written)}")

        writing = asyncio.create_task(write())
        await until(lambda: len(written) >= 3 or writing.done())
        # The migration runs while the old server writes; the new server starts after it.
        await migrate(urls.owner_url, SCHEMA, new_release)
        async with serving(urls.app_url, new_release, monkeypatch) as (new, new_server):
            before = len(written)
            await asyncio.gather(*(ingest(new, f"new{i}") for i in range(5)))
            await until(lambda: len(written) >= before + 3 or writing.done())
            assert not writing.done()
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            assert {*written, *(f"new{i}" for i in range(5))} <= await found(old)
            assert await found(old) == await found(new)
            await is_ready(old_server)
            await is_ready(new_server)


async def test_incompatible_schema_is_refused_at_start_and_while_serving(fresh_postgres_urls, versions, monkeypatch):
    urls, (first, second, third) = fresh_postgres_urls, versions
    refusal = "only servers that know version 2 or later may use; this build knows 1: run a newer release"
    await migrate(urls.owner_url, SCHEMA, second)
    async with (
        serving(urls.app_url, first, monkeypatch) as (oldest, oldest_server),
        serving(urls.app_url, second, monkeypatch) as (middle, middle_server),
    ):
        await ingest(oldest, "a")
        await migrate(urls.owner_url, SCHEMA, third)
        await is_refused(oldest_server, oldest, refusal)
        await is_ready(middle_server)
        assert await found(middle) == {"a"}
    async with serving(urls.app_url, first, monkeypatch) as (rolled_back, rolled_back_server):
        await is_refused(rolled_back_server, rolled_back, refusal)


async def test_changed_column_type_asks_for_a_retry_once(fresh_postgres_urls):
    """The server has the statement's plan in its cache; inside a transaction the driver cannot repeat it."""
    await migrate(fresh_postgres_urls.owner_url, SCHEMA, MIGRATIONS)
    database = TenantDatabase(fresh_postgres_urls.app_url, connections_max=1)

    async def read() -> None:
        async with database.tenant("acme") as connection:
            await connection.fetch("SELECT ordinal FROM rag.passages WHERE tenant_id = $1", "acme")

    await read()
    owner = TenantDatabase(fresh_postgres_urls.owner_url)
    async with owner.tenant("acme") as connection:
        await connection.execute("ALTER TABLE rag.passages ALTER COLUMN ordinal TYPE bigint")
    await owner.close()
    with pytest.raises(Unavailable, match="just been migrated"):
        await read()
    await read()
    await database.close()


async def test_no_transaction_runs_before_the_first_check(fresh_postgres_urls):
    """A call may arrive before the first readiness check has succeeded."""
    schema = KnownSchema(SCHEMA, read_migrations(MIGRATIONS), "hocket-rag migrate")
    database = TenantDatabase(fresh_postgres_urls.app_url, schema=schema)
    with pytest.raises(Unavailable, match="run `hocket-rag migrate`"):
        async with database.tenant("acme"):
            raise AssertionError("the transaction must not start")
    await migrate(fresh_postgres_urls.owner_url, SCHEMA, MIGRATIONS)
    await database.check()
    async with database.tenant("acme") as connection:
        assert await connection.fetchval("SHOW plan_cache_mode") == "force_custom_plan"
    await database.close()


async def test_old_ledger_records_nothing_on_an_incompatible_schema(fresh_postgres_urls, tmp_path):
    urls, shipped, noun = fresh_postgres_urls, postgres_ledger.MIGRATIONS, postgres_ledger.SCHEMA
    later = len(read_migrations(shipped)) + 1
    newer = version(tmp_path / "newer", shipped, f"-- compatible-since: {later}\nSELECT 1;\n")
    await migrate(urls.owner_url, noun, shipped)
    old, new = (
        TenantDatabase(urls.app_url, schema=KnownSchema(noun, read_migrations(folder), "hocket-ratelimit migrate"))
        for folder in (shipped, newer)
    )
    event = CostEvent(
        event_id=str(uuid4()),
        occurred_at=datetime(2026, 11, 28, tzinfo=UTC),
        kind="llm",
        provider="p",
        model="m",
        cost_micro_usd=7,
        quantities={},
        room="",
        turn_id="",
        tier="",
        price_row="",
        speculative=False,
        outcome="ok",
    )
    with pytest.raises(FailedPrecondition, match="hocket-ratelimit migrate"):
        await new.check()
    assert await PostgresLedger(old).record("acme", [event]) == [event]
    await migrate(urls.owner_url, noun, newer)
    with pytest.raises(FailedPrecondition, match="newer release"):
        await old.check()
    with pytest.raises(LedgerUnavailable, match=f"version {later} or later"):
        await PostgresLedger(old).record("acme", [event])
    await new.check()
    # The caller sends the same event again, now to a new server: it is one event.
    async with asyncio.timeout(DEADLINE_S):
        assert await PostgresLedger(new).record("acme", [event]) == []
        (row,) = await PostgresLedger(new).sums("acme", Period(None, None, ""))
    assert (row.events, row.cost_micro_usd) == (1, 7)
    await old.close()
    await new.close()
