"""Apply the migrations of one schema: as its owner, one migration at a time, never long in front of serving traffic.

The lock is an advisory lock of the session. It is polled, because CREATE INDEX CONCURRENTLY waits for every running
statement, and a statement that waits for the lock would be one. A transaction pooler (PgBouncer) would lose it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from hocket.chassis.errors import FailedPrecondition, Unavailable
from hocket.postgres.postgres_problem import postgres_problem
from hocket.postgres.schema_version import Migration, SchemaState, read_migrations

_LOCK_KEY = 0x686F636B6574  # "hocket": one migration at a time per database, across services
_CONNECT_TIMEOUT_S = 10.0
# Ends the client of a server that vanished. The server's own timeouts end statements sooner.
_COMMAND_TIMEOUT_S = 60.0
_CONCURRENT_TIMEOUT_S = 7 * 86_400.0
_POLL_S = 0.2
_PAUSE_S = 1.0  # between two attempts to lock a table, so that the statements that waited run
_SERVER_VERSION_MIN = 15

Report = Callable[[str], None]


class IncompatibleSchema(FailedPrecondition):
    """The schema is newer than this build and refuses it, or comes from another branch."""


@dataclass(frozen=True, slots=True)
class MigrationOptions:
    """Limits of a migration.

    Attributes:
        wait_s: Longest wait in seconds for another migration to end, and for the tables of one file.
        lock_timeout_s: Longest time in seconds that one attempt queues for a table; serving statements queue behind it.
        statement_timeout_s: Timeout in seconds of a statement in a transaction, which may hold locks.
        session_pooler: The URL is that of a pooler in session mode.
        application: Name of the session, shown in pg_stat_activity.
    """

    wait_s: float = 300
    lock_timeout_s: float = 3
    statement_timeout_s: float = 60
    session_pooler: bool = False
    application: str = "hocket migrate"


def _silent(_line: str) -> None:
    pass


async def migrate(
    url: str, schema: str, folder: Path, *, options: MigrationOptions | None = None, report: Report = _silent
) -> list[str]:
    """Apply the migrations of `folder` that `schema` lacks, in order; an interruption leaves a whole version.

    Args:
        url: Connection URL of the owner of the schema, not of the role that serves.
        schema: Name of the schema; created if missing.
        folder: Folder of the migrations.
        options: Limits of the migration.
        report: Called with one line per step.

    Returns:
        Names of the applied files.

    Raises:
        Unavailable: Temporary: no answer, another migration runs for longer than `wait_s`, or tables are in use.
        IncompatibleSchema: The schema is newer than this build and refuses it.
        FailedPrecondition: The database refuses; the message contains the fix.
    """
    options = options or MigrationOptions()
    known = read_migrations(folder)
    async with _session(url, schema, options) as connection:
        await _lock(connection, options, report)
        files = _Files(connection, schema, options, report)
        await files.create_table()
        pending = _checked(await _state(connection, schema, known), schema).pending
        for number, migration in enumerate(pending, 1):
            report(f"applying {migration.name} ({number} of {len(pending)})")
            began_s = time.monotonic()
            await files.apply(migration)
            report(f"applied {migration.name} in {time.monotonic() - began_s:.1f} s")
        return [migration.name for migration in pending]


async def schema_state(url: str, schema: str, folder: Path, *, options: MigrationOptions | None = None) -> SchemaState:
    """Return what `schema` holds, beside the migrations of `folder`; change nothing. Raises as `migrate` does."""
    known = read_migrations(folder)
    async with _session(url, schema, options or MigrationOptions()) as connection:
        return _checked(await _state(connection, schema, known), schema)


def _checked(state: SchemaState, schema: str) -> SchemaState:
    conflict = state.conflict()
    if conflict:
        raise IncompatibleSchema(f"schema {schema} {conflict}")
    return state


@asynccontextmanager
async def _session(url: str, schema: str, options: MigrationOptions) -> AsyncGenerator[asyncpg.Connection, None]:
    """Connect, check that the session can migrate, and translate errors of the driver."""
    try:
        settings = {"application_name": options.application}
        connection = await asyncpg.connect(
            url, timeout=_CONNECT_TIMEOUT_S, command_timeout=_COMMAND_TIMEOUT_S, server_settings=settings
        )
        try:
            await _check_session(connection, schema, options)
            with suppress(asyncpg.PostgresError):  # only where the operating system of the server can tell
                # The server ends the statement of a client that was killed, and with it the lock.
                await connection.execute("SET client_connection_check_interval = '5s'")
            yield connection
        except BaseException:
            connection.terminate()
            raise
        await connection.close()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise postgres_problem(error) from error


async def _check_session(connection: asyncpg.Connection, schema: str, options: MigrationOptions) -> None:
    row = await connection.fetchrow(
        "SELECT pg_backend_pid() AS pid, pg_is_in_recovery() AS replica, current_user AS role,"
        " current_setting('server_version_num')::int / 10000 AS major, pg_get_userbyid(n.nspowner) AS owner,"
        " pg_has_role(n.nspowner, 'USAGE') AS owns FROM (VALUES (1)) AS one LEFT JOIN pg_namespace n ON n.nspname = $1",
        schema,
    )
    if row is None:
        raise Unavailable("Postgres does not answer; retry")
    # A pooler gives each client a process id of its own making.
    if connection.get_server_pid() != row["pid"] and not options.session_pooler:
        raise FailedPrecondition(
            "a connection pooler answers, such as PgBouncer; use the URL of Postgres itself, because a pooler in"
            " transaction mode loses the migration lock (--session-pooler permits one in session mode)"
        )
    if row["major"] < _SERVER_VERSION_MIN:
        raise FailedPrecondition(f"Postgres is of version {row['major']}; use {_SERVER_VERSION_MIN} or later")
    if row["replica"]:
        raise FailedPrecondition("Postgres is a read-only replica; use the URL of the primary")
    if row["owner"] is not None and not row["owns"]:
        raise FailedPrecondition(
            f"schema {schema} belongs to the role {row['owner']}, not to {row['role']}; use the URL of {row['owner']}"
        )


async def _lock(connection: asyncpg.Connection, options: MigrationOptions, report: Report) -> None:
    deadline_s, reported = time.monotonic() + options.wait_s, False
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK_KEY):
        holder = await connection.fetchval(
            "SELECT coalesce(a.application_name || ', ', '') || 'process ' || a.pid"
            " FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
            "   AND (l.classid::bigint << 32) + l.objid::bigint = $1",
            _LOCK_KEY,
        )
        if time.monotonic() >= deadline_s:
            raise Unavailable(f"another migration ({holder}) has run for more than {options.wait_s:g} s; retry")
        if not reported:
            report(f"waiting for another migration ({holder}), at most {options.wait_s:g} s")
            reported = True
        await asyncio.sleep(_POLL_S)


async def _state(connection: asyncpg.Connection, schema: str, known: tuple[Migration, ...]) -> SchemaState:
    columns = await connection.fetch(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
        f'"{schema}".migrations',
    )
    if not columns:
        return SchemaState(known, {})
    since = "compatible_since" if any(row["attname"] == "compatible_since" for row in columns) else "NULL::integer"
    rows = await connection.fetch(f'SELECT name, {since} AS since FROM "{schema}".migrations')  # noqa: S608 - schema is ours
    return SchemaState(known, {row["name"]: row["since"] for row in rows})


class _Files:
    """Files of one schema, run in a locked session."""

    def __init__(self, connection: asyncpg.Connection, schema: str, options: MigrationOptions, report: Report) -> None:
        self._connection = connection
        self._schema = schema
        self._options = options
        self._report = report

    async def create_table(self) -> None:
        """Create the schema and its table of migrations, or extend the table of an older runner."""
        found = await self._connection.fetchval(
            "SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = 'compatible_since'",
            f'"{self._schema}".migrations',
        )
        if found:
            return
        table = f'"{self._schema}".migrations'
        columns = "name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now()"
        statements = [
            f"CREATE TABLE IF NOT EXISTS {table} ({columns})",
            f"ALTER TABLE {table} ADD COLUMN compatible_since integer",
            # The role that serves reads the version; the table is still out of reach without USAGE of the schema.
            f"GRANT SELECT ON {table} TO PUBLIC",
        ]
        if not await self._connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", f'"{self._schema}"'):
            statements.insert(0, f'CREATE SCHEMA "{self._schema}"')

        async def run() -> None:
            async with self._connection.transaction():
                await self._set_timeouts(self._options.lock_timeout_s, self._options.statement_timeout_s)
                for statement in statements:
                    await self._connection.execute(statement)

        await self._retried("the table of migrations", run)

    async def apply(self, migration: Migration) -> None:
        """Run one file and record it."""

        async def run() -> None:
            if migration.in_transaction:
                async with self._connection.transaction():
                    await self._set_timeouts(self._options.lock_timeout_s, self._options.statement_timeout_s)
                    await self._run(migration)
            else:
                # Concurrent statements block no traffic while they wait, and may run for hours.
                await self._set_timeouts(self._options.wait_s, 0)
                await self._run(migration)

        await self._retried(migration.name, run)

    async def _run(self, migration: Migration) -> None:
        timeout_s = _CONCURRENT_TIMEOUT_S
        if migration.in_transaction:
            each_s = self._options.lock_timeout_s + self._options.statement_timeout_s
            timeout_s = _COMMAND_TIMEOUT_S + each_s * (migration.sql.count(";") + 1)
        for statement in migration.statements:
            await self._connection.execute(statement, timeout=timeout_s)
        await self._connection.execute(
            f'INSERT INTO "{self._schema}".migrations (name, compatible_since) VALUES ($1, $2)',  # noqa: S608 - schema is ours
            migration.name,
            migration.compatible_since,
        )

    async def _retried(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run a file; while its tables are in use, let the traffic pass and try again."""
        wait_s, reported = self._options.wait_s, False
        deadline_s = time.monotonic() + wait_s
        while True:
            try:
                return await run()
            except asyncpg.LockNotAvailableError as error:
                if time.monotonic() >= deadline_s:
                    raise Unavailable(
                        f"{name}: its tables were in use for {wait_s:g} s; end long transactions"
                        " (pg_stat_activity), or retry"
                    ) from error
                if not reported:
                    self._report(f"{name}: its tables are in use; trying for at most {wait_s:g} s")
                    reported = True
                await asyncio.sleep(_PAUSE_S)
            except asyncpg.PostgresError as error:
                problem = postgres_problem(error)
                raise type(problem)(f"{name}: {problem.message}") from error

    async def _set_timeouts(self, lock_s: float, statement_s: float) -> None:
        for name, seconds in (("lock_timeout", lock_s), ("statement_timeout", statement_s)):
            await self._connection.execute("SELECT set_config($1, $2, false)", name, f"{round(seconds * 1000)}ms")
