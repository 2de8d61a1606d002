"""The backup and restore commands of docs/operations.md, run with the programs of the embedded Postgres."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from hocket.postgres.migrations import migrate, schema_state
from hocket.postgres.schema_version import KnownSchema, read_migrations
from hocket.postgres.tenant_database import TenantDatabase
from local.embedded import postgres
from services.rag.adapters import postgres_store
from services.rag.adapters.postgres_store import PostgresStore
from services.ratelimit.adapters import postgres_ledger
from tests.fakes.waiting import START_S

PAGE = Path(__file__).resolve().parents[3] / "docs" / "operations.md"
SCHEMAS = ((postgres_store.SCHEMA, postgres_store.MIGRATIONS), (postgres_ledger.SCHEMA, postgres_ledger.MIGRATIONS))
ROWS = {
    "rag.corpora": "(tenant_id, passages, terms) VALUES ('acme', 1, 2), ('other', 3, 4)",
    "ratelimit.cost_events": "(tenant_id, event_id, occurred_at, kind, provider, model, cost_micro_usd, outcome)"
    " VALUES ('acme', gen_random_uuid(), now(), 'llm', 'p', 'm', 7, 'ok')",
}


def documented(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found[1].replace("hocket_restored", "{restored}")


def shell(script: str, folder: Path, **variables: str) -> None:
    env = os.environ | {"PATH": f"{postgres.binaries()}:{os.environ['PATH']}"} | variables
    done = subprocess.run(
        ["/bin/sh", "-euc", script], env=env, cwd=folder, capture_output=True, text=True, timeout=START_S, check=False
    )
    assert done.returncode == 0, done.stderr


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


@pytest.fixture
async def restored(postgres_admin_url, fresh_postgres_urls):
    name = urlsplit(fresh_postgres_urls.app_url).path.lstrip("/") + "_restored"
    yield name
    await execute(postgres_admin_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def test_dump_of_both_schemas_is_restored_with_rows_policies_and_versions(
    postgres_admin_url, fresh_postgres_urls, restored, tmp_path
):
    urls = fresh_postgres_urls
    for schema, folder in SCHEMAS:
        await migrate(urls.owner_url, schema, folder)

    def at(url: str, database: str) -> str:
        return urlsplit(url)._replace(path=f"/{database}").geturl()

    admin = at(postgres_admin_url, urlsplit(urls.app_url).path.lstrip("/"))
    await execute(admin, *(f"INSERT INTO {table} {rows}" for table, rows in ROWS.items()))
    shell(documented("backup"), tmp_path, ADMIN_URL=admin)
    new = at(postgres_admin_url, restored)
    shell(documented("restore").format(restored=restored), tmp_path, ADMIN_URL=admin, RESTORED_URL=new)

    for schema, folder in SCHEMAS:
        state = await schema_state(at(urls.owner_url, restored), schema, folder)
        assert (state.pending, state.version) == ([], state.wanted)
    known = KnownSchema("rag", read_migrations(postgres_store.MIGRATIONS), "hocket-rag migrate")
    database = TenantDatabase(at(urls.app_url, restored), schema=known)
    await PostgresStore(database).check()  # the role may read, and row-level security is forced
    async with database.tenant("acme") as connection:
        assert await connection.fetchval("SELECT passages FROM rag.corpora") == 1
        assert await connection.fetchval("SELECT sum(cost_micro_usd) FROM ratelimit.cost_events") == 7
    await database.close()


async def test_owner_cannot_dump_rows_under_row_level_security(fresh_postgres_urls, tmp_path):
    for schema, folder in SCHEMAS:
        await migrate(fresh_postgres_urls.owner_url, schema, folder)
    with pytest.raises(AssertionError, match="row-level security"):
        shell(documented("backup"), tmp_path, ADMIN_URL=fresh_postgres_urls.owner_url)
