"""Postgres with row-level security (RLS): migrations, and transactions in the scope of one tenant."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from hocket.chassis.errors import Unavailable

_LOCK_KEY = 0x686F636B6574  # "hocket": one migration at a time per database, across services
_CONNECT_TIMEOUT_S = 10.0
_LOCK_TIMEOUT_S = 120.0  # the migrations of another replica or service
_DRIVER_FAILURES = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the connection was lost between two statements
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # the server is starting or stopping, or another connection crashed it
    asyncpg.TooManyConnectionsError,
)


async def migrate(url: str, schema: str, folder: Path) -> list[str]:
    """Apply the `*.sql` files of `folder` that `schema` lacks, in name order, each in a transaction.

    Args:
        url: Connection URL of the owner of the schema, not of the role that serves.
        schema: Name of the schema; created if missing.
        folder: Folder of the migrations.

    Returns:
        Names of the applied files.

    Raises:
        Unavailable: Postgres refuses the connection, or another migration runs for more than 120 s.
    """
    connection = await _locked(url, schema)
    try:
        await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
        await connection.execute(
            f'CREATE TABLE IF NOT EXISTS "{schema}".migrations'
            " (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        seen = {row["name"] for row in await connection.fetch(f'SELECT name FROM "{schema}".migrations')}  # noqa: S608 - schema is ours
        applied: list[str] = []
        for file in sorted(folder.glob("*.sql")):  # noqa: ASYNC240 - a handful of small files, once, before serving
            if file.name in seen:
                continue
            async with connection.transaction():
                await connection.execute(file.read_text(encoding="utf-8"))
                await connection.execute(f'INSERT INTO "{schema}".migrations (name) VALUES ($1)', file.name)  # noqa: S608 - schema is ours
            applied.append(file.name)
        return applied
    finally:
        await connection.close()


async def _locked(url: str, schema: str) -> asyncpg.Connection:
    """Return a connection that holds the migration lock."""
    try:
        connection = await asyncpg.connect(url, timeout=_CONNECT_TIMEOUT_S)
        try:
            await connection.execute("SELECT pg_advisory_lock($1)", _LOCK_KEY, timeout=_LOCK_TIMEOUT_S)
        except BaseException:
            connection.terminate()
            raise
    except (*_DRIVER_FAILURES, asyncpg.PostgresError) as error:
        why = str(error) or type(error).__name__
        raise Unavailable(f"cannot migrate the schema {schema}: Postgres reports: {why}") from error
    return connection


class TenantDatabase:
    """Connection pool; each transaction sets `app.current_tenant_id`, which RLS policies read."""

    def __init__(self, url: str, *, connections_max: int = 10, statement_timeout_s: float = 10) -> None:
        """Configure the pool; it connects on first use, so that a service starts while Postgres is down."""
        self._url = url
        self._connections_max = connections_max
        self._statement_timeout_s = statement_timeout_s
        self._pool: asyncpg.Pool | None = None

    async def _connected(self) -> asyncpg.Pool:
        if self._pool is None:
            pool = await asyncpg.create_pool(
                self._url,
                min_size=1,
                max_size=self._connections_max,
                timeout=5,
                command_timeout=self._statement_timeout_s,
                # A plan cached for a large tenant returned no rows at all for a small one.
                server_settings={"plan_cache_mode": "force_custom_plan", "application_name": "hocket"},
                init=_refuse_unbound_role,
            )
            if self._pool is None:
                self._pool = pool
            else:
                await pool.close()
        return self._pool

    async def check(self) -> None:
        """Raise unless Postgres answers within 2 s; a readiness check."""
        async with (await self._connected()).acquire(timeout=2) as connection:
            await connection.execute("SELECT 1")

    @asynccontextmanager
    async def tenant(self, tenant_id: str) -> AsyncGenerator[asyncpg.pool.PoolConnectionProxy, None]:
        """Open a transaction that reads and writes rows of `tenant_id` only. Raises Unavailable without Postgres."""
        try:
            async with (await self._connected()).acquire(timeout=5) as connection, connection.transaction():
                # Local to the transaction: the pooled connection keeps nothing.
                await connection.execute("SELECT set_config('app.current_tenant_id', $1, true)", tenant_id)
                yield connection
        except _DRIVER_FAILURES as error:
            if isinstance(error, ValueError):
                # asyncpg raises InterfaceError for a parameter of a wrong type too: a defect, not an outage.
                raise
            raise Unavailable("Postgres does not answer; retry", retry_after_s=1) from error

    async def close(self) -> None:
        """Close all connections."""
        if self._pool is not None:
            await self._pool.close()
            self._pool = None


async def _refuse_unbound_role(connection: asyncpg.Connection) -> None:
    row = await connection.fetchrow("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
    if row is None or row["rolsuper"] or row["rolbypassrls"]:
        raise asyncpg.InvalidAuthorizationSpecificationError(
            "the role that serves must be neither superuser nor BYPASSRLS: row-level security does not apply to it"
        )
