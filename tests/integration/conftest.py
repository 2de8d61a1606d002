"""Real servers for integration tests, started once a session: the embedded ones that the mesh itself runs on.

REDIS_URL, DATABASE_URL and LIVEKIT_URL (with its key and secret) are used instead where they are set.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
import redis

from local.data_folder import DataFolder
from local.embedded import postgres
from local.mesh import Livekit, Mesh, PostgresUrls
from tests.fakes.loop_thread import LoopThread


@contextmanager
def servers_alone(loop: LoopThread, data_dir: Path, *names: str) -> Iterator[Mesh]:
    """A mesh of servers, without services."""
    mesh = Mesh.start(data_dir, services=(), servers=names)
    running = loop.run(mesh.__aenter__(), timeout_s=900)  # a first run may have to build livekit-server
    try:
        yield running
    finally:
        loop.run(mesh.__aexit__(None, None, None))


@pytest.fixture(scope="session")
def _loop() -> Iterator[LoopThread]:
    loop = LoopThread("embedded-servers")
    yield loop
    loop.close()


@pytest.fixture(scope="session")
def redis_url(_loop, tmp_path_factory) -> Iterator[str]:
    """URL of a Redis that is emptied before each test which names this fixture, directly or through another."""
    with servers_alone(_loop, tmp_path_factory.mktemp("redis"), "redis") as mesh:
        yield mesh.redis_url


@pytest.fixture(autouse=True)
def _empty_redis(request) -> None:
    if "redis_url" in request.fixturenames:
        with redis.Redis.from_url(request.getfixturevalue("redis_url")) as client:
            client.flushall()


@pytest.fixture(scope="session")
def _postgres(_loop, tmp_path_factory) -> Iterator[Mesh]:
    with servers_alone(_loop, tmp_path_factory.mktemp("postgres"), "postgres") as mesh:
        yield mesh


@pytest.fixture(scope="session")
def postgres_urls(_postgres) -> PostgresUrls:
    """A database with the extension vector and both roles: `.owner_url` migrates, `.app_url` serves."""
    return _postgres.postgres_urls


@pytest.fixture(scope="session")
def postgres_admin_url(_postgres) -> str:
    """URL of the superuser of that server."""
    port = urlsplit(_postgres.postgres_urls.owner_url).port
    password = DataFolder(_postgres.data_dir).secrets()["postgres_admin"]
    return os.environ.get("DATABASE_URL") or postgres.admin_url(port, password)


@pytest.fixture
def fresh_postgres_urls(_loop, _postgres, postgres_admin_url) -> Iterator[PostgresUrls]:
    """As `postgres_urls`, but a database of this test alone, dropped at its end."""
    name = f"test_{secrets.token_hex(6)}"
    admin, urls = postgres_admin_url, _postgres.postgres_urls
    passwords = [urlsplit(url).password for url in (urls.owner_url, urls.app_url)]

    async def drop() -> None:
        connection = await asyncpg.connect(admin)
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await connection.close()

    yield _loop.run(postgres.bootstrap(admin, *passwords, database=name))
    _loop.run(drop())


@pytest.fixture(scope="session")
def livekit_server(_loop, tmp_path_factory) -> Iterator[Livekit]:
    """A LiveKit server: `.url`, `.api_key`, `.api_secret`."""
    with servers_alone(_loop, tmp_path_factory.mktemp("livekit"), "livekit") as mesh:
        yield mesh.livekit  # type: ignore[misc]
