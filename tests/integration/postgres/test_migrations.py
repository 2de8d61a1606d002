"""Migrations on a real Postgres: one at a time, whole versions, bounded waits, and the sessions that are refused."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager

import asyncpg
import pytest

from hocket.chassis.errors import FailedPrecondition, Unavailable
from hocket.postgres.migrations import IncompatibleSchema, MigrationOptions, migrate, schema_state
from tests.fakes.postgres_pooler import pooler
from tests.fakes.waiting import DEADLINE_S, START_S

SCHEMA = "x"
FIRST = "CREATE TABLE x.things (id int PRIMARY KEY); GRANT USAGE ON SCHEMA x TO hocket_app;"


@pytest.fixture
def folder(tmp_path):
    return tmp_path


@pytest.fixture
def url(fresh_postgres_urls) -> str:
    return fresh_postgres_urls.owner_url


def write(folder, version: int, sql: str, *, since: int = 1, transaction: str = "") -> str:
    name = f"{version:04}_step.sql"
    (folder / name).write_text(f"-- compatible-since: {since}\n{transaction}\n{sql}\n")
    return name


@asynccontextmanager
async def connected(url):
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        connection.terminate()


async def version(url, folder) -> int:
    return (await schema_state(url, SCHEMA, folder)).version


async def test_files_are_applied_once_in_order_and_reported(url, folder):
    names = [write(folder, 1, FIRST), write(folder, 2, "ALTER TABLE x.things ADD COLUMN a int;")]
    state = await schema_state(url, SCHEMA, folder)
    assert (state.version, state.wanted, [m.name for m in state.pending]) == (0, 2, names)
    lines: list[str] = []
    assert await migrate(url, SCHEMA, folder, report=lines.append) == names
    assert lines[0] == "applying 0001_step.sql (1 of 2)"
    assert await migrate(url, SCHEMA, folder) == []
    assert await version(url, folder) == 2


async def test_two_migrations_at_once_run_one_after_the_other(url, folder):
    write(folder, 1, FIRST + "SELECT pg_sleep(0.5);")
    lines: list[str] = []
    options = MigrationOptions(application="hocket-x migrate")
    first, second = await asyncio.gather(
        *(migrate(url, SCHEMA, folder, options=options, report=lines.append) for _ in range(2))
    )
    assert sorted([first, second]) == [[], ["0001_step.sql"]]
    assert [line for line in lines if "waiting for another migration (hocket-x migrate, process " in line]


async def test_wait_for_another_migration_is_bounded(url, folder):
    write(folder, 1, FIRST)
    async with connected(url) as other:
        await other.execute("SELECT pg_advisory_lock($1)", 0x686F636B6574)
        with pytest.raises(Unavailable, match="another migration"):
            await migrate(url, SCHEMA, folder, options=MigrationOptions(wait_s=0.3))


async def test_failed_file_leaves_the_version_before_it(url, folder):
    write(folder, 1, FIRST)
    write(folder, 2, "CREATE TABLE x.more (); SELECT 1/0;")
    with pytest.raises(FailedPrecondition, match=r"0002_step\.sql: .*division by zero"):
        await migrate(url, SCHEMA, folder)
    async with connected(url) as connection:
        assert await connection.fetchval("SELECT to_regclass('x.more')") is None
    assert await version(url, folder) == 1
    write(folder, 2, "CREATE TABLE x.more ();")
    assert await migrate(url, SCHEMA, folder) == ["0002_step.sql"]


async def test_interrupted_file_leaves_the_version_before_it_and_frees_the_lock(url, folder):
    write(folder, 1, FIRST)
    write(folder, 2, "CREATE TABLE x.more (); SELECT pg_sleep(600);")
    started = asyncio.Event()
    running = asyncio.create_task(
        migrate(url, SCHEMA, folder, report=lambda line: started.set() if "0002" in line else None)
    )
    await asyncio.wait_for(started.wait(), DEADLINE_S)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert await version(url, folder) == 1
    write(folder, 2, "CREATE TABLE x.more ();")
    assert await migrate(url, SCHEMA, folder) == ["0002_step.sql"]


async def test_killed_migration_leaves_a_whole_version_and_its_lock_is_freed(url, folder):
    """The server ends the statement of a client that is gone; otherwise the lock would be held until it ends."""
    write(folder, 1, FIRST)
    write(folder, 2, "CREATE TABLE x.more (); SELECT pg_sleep(600);")
    code = (
        "import asyncio, sys; from pathlib import Path; from hocket.postgres.migrations import migrate;"
        "asyncio.run(migrate(sys.argv[1], 'x', Path(sys.argv[2]), report=lambda line: print(line, flush=True)))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, url, str(folder), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(START_S):
        while b"applying 0002" not in await process.stdout.readline():
            pass
    process.kill()
    await process.wait()
    assert await version(url, folder) == 1
    write(folder, 2, "CREATE TABLE x.more ();")
    assert await migrate(url, SCHEMA, folder) == ["0002_step.sql"]


async def test_file_without_transaction_is_repeated_after_an_interruption(url, folder):
    """A statement that fails halfway leaves an invalid index; the next run drops and builds it."""
    rows = "ALTER TABLE x.things ADD COLUMN a int; INSERT INTO x.things VALUES (1, 7), (2, 7);"
    write(folder, 1, f"{FIRST}\n{rows}")
    statements = "DROP INDEX CONCURRENTLY IF EXISTS x.a;\nCREATE UNIQUE INDEX CONCURRENTLY a ON x.things (a);"
    write(folder, 2, statements, transaction="-- transaction: none")
    with pytest.raises(FailedPrecondition, match="could not create unique index"):
        await migrate(url, SCHEMA, folder)
    assert await version(url, folder) == 1
    async with connected(url) as connection:
        assert await connection.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'x.a'::regclass") is False
        await connection.execute("UPDATE x.things SET a = id")
        assert await migrate(url, SCHEMA, folder) == ["0002_step.sql"]
        assert await connection.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'x.a'::regclass") is True


async def test_migration_does_not_queue_in_front_of_serving_statements(url, folder):
    """While a long transaction reads the table, ALTER TABLE would hold up every later statement until that one ends."""
    write(folder, 1, FIRST)
    await migrate(url, SCHEMA, folder)
    write(folder, 2, "ALTER TABLE x.things ADD COLUMN a int;")
    in_use = asyncio.Event()

    def report(line: str) -> None:
        if "its tables are in use" in line:
            in_use.set()

    async with connected(url) as reader, connected(url) as server:
        reading = reader.transaction()
        await reading.start()
        await reader.fetch("SELECT FROM x.things")
        running = asyncio.create_task(
            migrate(url, SCHEMA, folder, options=MigrationOptions(lock_timeout_s=0.1), report=report)
        )
        await asyncio.wait_for(in_use.wait(), DEADLINE_S)
        for _ in range(3):
            await server.fetch("SELECT FROM x.things", timeout=DEADLINE_S)
        assert not running.done()
        await reading.rollback()
        assert await asyncio.wait_for(running, DEADLINE_S) == ["0002_step.sql"]


async def test_wait_for_tables_in_use_is_bounded(url, folder):
    write(folder, 1, FIRST)
    await migrate(url, SCHEMA, folder)
    write(folder, 2, "ALTER TABLE x.things ADD COLUMN a int;")
    async with connected(url) as reader, reader.transaction():
        await reader.fetch("SELECT FROM x.things")
        with pytest.raises(Unavailable, match=r"0002_step\.sql: its tables were in use"):
            await migrate(url, SCHEMA, folder, options=MigrationOptions(lock_timeout_s=0.1, wait_s=0.1))
    assert await version(url, folder) == 1


async def test_long_statement_is_ended_unless_the_limit_is_raised(url, folder):
    write(folder, 1, FIRST + "SELECT pg_sleep(0.3);")
    with pytest.raises(FailedPrecondition, match="--statement-timeout-s"):
        await migrate(url, SCHEMA, folder, options=MigrationOptions(statement_timeout_s=0.1))
    assert await migrate(url, SCHEMA, folder, options=MigrationOptions(statement_timeout_s=DEADLINE_S))


async def test_table_of_the_first_release_is_extended(url, folder):
    """Release 0.1.0 recorded names alone, and the role that serves could not read them."""
    write(folder, 1, FIRST)
    async with connected(url) as connection:
        await connection.execute("CREATE SCHEMA x")
        await connection.execute(
            "CREATE TABLE x.migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        await connection.execute(FIRST)
        await connection.execute("INSERT INTO x.migrations (name) VALUES ('0001_step.sql')")
    assert await version(url, folder) == 1
    write(folder, 2, "ALTER TABLE x.things ADD COLUMN a int;", since=2)
    assert await migrate(url, SCHEMA, folder) == ["0002_step.sql"]
    state = await schema_state(url, SCHEMA, folder)
    assert state.applied == {"0001_step.sql": None, "0002_step.sql": 2}
    assert state.compatible_since == 2


async def test_older_build_accepts_a_compatible_newer_schema_and_refuses_another(url, folder):
    write(folder, 1, FIRST)
    for since, expected in ((1, []), (3, IncompatibleSchema)):
        later = write(folder, 2 if since == 1 else 3, "SELECT 1;", since=since)
        await migrate(url, SCHEMA, folder)
        text = (folder / later).read_text()
        (folder / later).unlink()
        if expected == []:
            assert await migrate(url, SCHEMA, folder) == []
            (folder / later).write_text(text)
        else:
            with pytest.raises(expected, match="version 3 or later"):
                await migrate(url, SCHEMA, folder)


async def test_role_that_serves_cannot_migrate(fresh_postgres_urls, folder):
    write(folder, 1, FIRST)
    with pytest.raises(FailedPrecondition, match="permission denied for database"):
        await migrate(fresh_postgres_urls.app_url, SCHEMA, folder)
    await migrate(fresh_postgres_urls.owner_url, SCHEMA, folder)
    with pytest.raises(FailedPrecondition, match="belongs to the role hocket_owner, not to hocket_app"):
        await migrate(fresh_postgres_urls.app_url, SCHEMA, folder)


async def test_pooler_is_refused_unless_it_keeps_sessions(url, folder):
    write(folder, 1, FIRST)
    async with pooler(url) as pooled:
        with pytest.raises(FailedPrecondition, match="pooler"):
            await migrate(pooled.url, SCHEMA, folder)
        options = MigrationOptions(session_pooler=True)
        assert await migrate(pooled.url, SCHEMA, folder, options=options) == ["0001_step.sql"]


async def test_server_that_vanishes_during_a_file_ends_the_wait(url, folder, monkeypatch):
    write(folder, 1, FIRST)
    write(folder, 2, "ALTER TABLE x.things ADD COLUMN a int;")
    monkeypatch.setattr("hocket.postgres.migrations._COMMAND_TIMEOUT_S", 1.0)
    await migrate(url, SCHEMA, folder)
    write(folder, 3, "ALTER TABLE x.things ADD COLUMN b int;")
    async with pooler(url) as pooled:

        def vanish(_line: str) -> None:
            pooled.frozen = True

        options = MigrationOptions(session_pooler=True, lock_timeout_s=0.1, statement_timeout_s=0.1)
        with pytest.raises(Unavailable, match="does not answer in time"):
            await asyncio.wait_for(migrate(pooled.url, SCHEMA, folder, options=options, report=vanish), DEADLINE_S)
    assert await migrate(url, SCHEMA, folder) in ([], ["0003_step.sql"])


async def test_frozen_server_is_reported_within_the_connect_timeout(folder, monkeypatch):
    write(folder, 1, FIRST)
    monkeypatch.setattr("hocket.postgres.migrations._CONNECT_TIMEOUT_S", 0.2)

    async def freeze(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass
        writer.close()
        await writer.wait_closed()
        left.set()

    left = asyncio.Event()
    server = await asyncio.start_server(freeze, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(Unavailable, match="does not answer in time"):
        await migrate(f"postgresql://a@127.0.0.1:{port}/x", SCHEMA, folder)
    await asyncio.wait_for(left.wait(), DEADLINE_S)
    server.close()
