"""Errors of Postgres are temporary or lead to a fix, and no message holds a password."""

from __future__ import annotations

import socket
import ssl

import asyncpg
import pytest

from hocket.chassis.errors import FailedPrecondition, Unavailable
from hocket.postgres.postgres_problem import postgres_problem, shown_url


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "Connect call failed"),
        TimeoutError(),
        socket.gaierror(-2, "Name or service not known"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.TooManyConnectionsError("sorry, too many clients already"),
        asyncpg.InterfaceError("connection is closed"),
    ],
)
def test_temporary_states_may_be_retried(error):
    assert isinstance(postgres_problem(error), Unavailable)


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (asyncpg.InvalidPasswordError('password authentication failed for user "a"'), "correct user and password"),
        (asyncpg.InvalidCatalogNameError('database "x" does not exist'), "bootstrap.sh"),
        (asyncpg.InsufficientPrivilegeError("permission denied for database hocket"), "owns the database"),
        (asyncpg.InsufficientPrivilegeError('permission denied to create extension "vector"'), "CREATE EXTENSION"),
        (asyncpg.FeatureNotSupportedError('extension "vector" is not available'), "install pgvector"),
        (asyncpg.UndefinedFileError('could not open extension control file "vector.control"'), "install pgvector"),
        (asyncpg.UndefinedObjectError('type "halfvec" does not exist'), "update pgvector"),
        (asyncpg.UndefinedObjectError('role "hocket_app" does not exist'), "create the role"),
        (asyncpg.ReadOnlySQLTransactionError("cannot execute CREATE in a read-only transaction"), "primary"),
        (asyncpg.QueryCanceledError("canceling statement due to statement timeout"), "--statement-timeout-s"),
        (ssl.SSLCertVerificationError("certificate verify failed"), "sslrootcert"),
        (asyncpg.PostgresSyntaxError("syntax error"), "syntax error"),
    ],
)
def test_other_states_name_the_fix(error, fix):
    problem = postgres_problem(error)
    assert isinstance(problem, FailedPrecondition)
    assert fix in problem.message
    assert str(error) in problem.message or "certificate" in problem.message


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://hocket_owner:hunter2@db:5432/hocket?password=hunter2", "hocket_owner@db:5432/hocket"),
        ("postgresql://a%40b:hunter2@h1:1,h2:2/x", "a@b@h1:1,h2:2/x"),
        ("postgresql:///hocket?host=/run", "/hocket"),
        ("postgresql://", "the default server"),
    ],
)
def test_url_is_shown_without_password(url, shown):
    assert shown_url(url) == shown
