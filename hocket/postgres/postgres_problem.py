"""The cause of a refused connection or statement of Postgres, in words that lead to the fix."""

from __future__ import annotations

import socket
import ssl
from urllib.parse import unquote, urlsplit

import asyncpg

from hocket.chassis.errors import FailedPrecondition, MeshError, Unavailable

# The server is away, busy or starting: a retry may succeed.
_TEMPORARY = (
    OSError,  # refused, reset, timed out
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # the server is starting or stopping, or another connection crashed it
    asyncpg.TooManyConnectionsError,
    asyncpg.DeadlockDetectedError,
    asyncpg.InterfaceError,  # the connection was lost between two statements
)
_FIXES: tuple[tuple[type[BaseException], str, str], ...] = (
    (ssl.SSLError, "", "correct sslmode and sslrootcert in the URL"),
    (asyncpg.InvalidPasswordError, "", "correct user and password in the URL"),
    (asyncpg.InvalidAuthorizationSpecificationError, "", "correct the user in the URL, or allow it in pg_hba.conf"),
    (asyncpg.InvalidCatalogNameError, "", "create the database, as deploy/postgres/bootstrap.sh does"),
    (asyncpg.InsufficientPrivilegeError, "extension", "run CREATE EXTENSION vector in the database as a superuser"),
    (asyncpg.InsufficientPrivilegeError, "", "use the URL of the role that owns the database and the schema"),
    (asyncpg.ReadOnlySQLTransactionError, "", "use the URL of the primary, not of a replica"),
    (asyncpg.FeatureNotSupportedError, "extension", "install pgvector 0.7 or later on the server"),
    (asyncpg.UndefinedFileError, "extension", "install pgvector 0.7 or later on the server"),
    (asyncpg.UndefinedObjectError, "halfvec", "update pgvector to 0.7 or later"),
    (asyncpg.UndefinedObjectError, "role", "create the role that serves, as deploy/postgres/bootstrap.sh does"),
    (
        asyncpg.QueryCanceledError,
        "statement timeout",
        "run it when the tables are idle, or raise --statement-timeout-s",
    ),
)


def shown_url(url: str) -> str:
    """Return `user@host:port/database` of a connection URL, without its password and options."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2]
    return f"{unquote(parts.username or '')}@{hosts}{parts.path}".removeprefix("@") or "the default server"


def postgres_problem(error: BaseException) -> MeshError:
    """Return Unavailable for a temporary state, otherwise FailedPrecondition with the fix.

    Args:
        error: Exception of asyncpg or of the connection.
    """
    if isinstance(error, MeshError):
        return error
    text = " ".join(str(error).split()) or type(error).__name__
    for kind, sign, fix in _FIXES:
        if isinstance(error, kind) and sign in text:
            return FailedPrecondition(f"Postgres reports: {text}; {fix}")
    if isinstance(error, socket.gaierror):
        return Unavailable(f"the host name cannot be resolved ({error.strerror}); correct it, or retry")
    if isinstance(error, TimeoutError):
        return Unavailable("Postgres does not answer in time; check address and network policy, or retry")
    if isinstance(error, _TEMPORARY) and not isinstance(error, ValueError):
        return Unavailable(f"Postgres does not answer: {text}; start it, correct the address, or retry")
    return FailedPrecondition(f"Postgres reports: {text}")
