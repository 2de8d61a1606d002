"""Postgres with row-level security (RLS): transactions of one tenant, on a schema that the server knows."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg
import structlog

from hocket.chassis.errors import FailedPrecondition, Unavailable
from hocket.postgres.schema_version import KnownSchema, SchemaState

_DRIVER_FAILURES = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the connection was lost between two statements
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # the server is starting or stopping, or another connection crashed it
    asyncpg.TooManyConnectionsError,
)


# A migration changed the type of a cached statement's result. asyncpg has dropped its cache; only a transaction cannot
# be repeated by it.
_SCHEMA_CHANGES = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)
# The role that serves finds no schema, no table of migrations, or one of a release before versions were recorded.
_NO_VERSION = (
    asyncpg.InvalidSchemaNameError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.InsufficientPrivilegeError,
)
_log = structlog.get_logger()


class TenantDatabase:
    """Connection pool; each transaction sets `app.current_tenant_id`, which RLS policies read."""

    def __init__(
        self,
        url: str,
        *,
        schema: KnownSchema | None = None,
        connections_max: int = 10,
        statement_timeout_s: float = 10,
    ) -> None:
        """Configure the pool; it connects on first use, so that a service starts while Postgres is down.

        Args:
            url: Connection URL of the role that serves.
            schema: Schema that transactions use; they are refused while its version does not fit. None checks nothing.
            connections_max: Connections at most.
            statement_timeout_s: Timeout of a statement in seconds.
        """
        self._url = url
        self._schema = schema
        # None until the first check, so that no transaction runs before it.
        self._misfit: str | None = None if schema else ""
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
                # A pooler runs the next transaction in another session, which lacks the prepared statement.
                statement_cache_size=0 if await _is_pooled(self._url) else 100,
                # No other setting: PgBouncer refuses most settings of a new connection.
                server_settings={"application_name": "hocket"},
                init=_refuse_unbound_role,
            )
            if self._pool is None:
                self._pool = pool
            else:
                await pool.close()
        return self._pool

    async def check(self) -> None:
        """Check server and schema; a readiness check, which also decides whether later transactions are refused.

        Raises:
            FailedPrecondition: The schema is older than this server needs, or newer and incompatible with it.
        """
        async with (await self._connected()).acquire(timeout=2) as connection:
            await connection.execute("SELECT 1")
            await self._check_schema(connection)
        if self._misfit:
            raise FailedPrecondition(self._misfit)

    async def _check_schema(self, connection: asyncpg.pool.PoolConnectionProxy) -> None:
        schema = self._schema
        if schema is None:
            return
        try:
            rows = await connection.fetch(f'SELECT name, compatible_since FROM "{schema.name}".migrations')  # noqa: S608 - schema is ours
        except _NO_VERSION:
            rows = []
        misfit = schema.misfit(SchemaState(schema.migrations, {row["name"]: row["compatible_since"] for row in rows}))
        if misfit and misfit != self._misfit:
            _log.error("schema does not fit; transactions are refused", problem=misfit)
        self._misfit = misfit

    @asynccontextmanager
    async def tenant(self, tenant_id: str) -> AsyncGenerator[asyncpg.pool.PoolConnectionProxy, None]:
        """Open a transaction that reads and writes rows of `tenant_id` only.

        Raises:
            Unavailable: Postgres does not answer, or the schema does not fit this server.
        """
        try:
            async with (await self._connected()).acquire(timeout=5) as connection:
                if self._misfit is None:
                    await self._check_schema(connection)
                if self._misfit:
                    raise Unavailable(self._misfit, retry_after_s=1)
                async with connection.transaction():
                    # Local to the transaction: the pooled connection keeps nothing, and a pooler loses nothing.
                    # A plan cached for a large tenant returned no rows at all for a small one.
                    await connection.execute(
                        "SELECT set_config('app.current_tenant_id', $1, true),"
                        " set_config('plan_cache_mode', 'force_custom_plan', true)",
                        tenant_id,
                    )
                    yield connection
        except _SCHEMA_CHANGES as error:
            raise Unavailable("the schema has just been migrated; retry", retry_after_s=0) from error
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


async def _is_pooled(url: str) -> bool:
    """Return whether a connection pooler such as PgBouncer answers at `url`: it invents process ids."""
    connection = await asyncpg.connect(url, timeout=5, statement_cache_size=0)
    try:
        return bool(connection.get_server_pid() != await connection.fetchval("SELECT pg_backend_pid()"))
    finally:
        await connection.close()


async def _refuse_unbound_role(connection: asyncpg.Connection) -> None:
    row = await connection.fetchrow("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
    if row is None or row["rolsuper"] or row["rolbypassrls"]:
        raise asyncpg.InvalidAuthorizationSpecificationError(
            "the role that serves must be neither superuser nor BYPASSRLS: row-level security does not apply to it"
        )
