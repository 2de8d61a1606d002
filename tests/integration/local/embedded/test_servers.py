"""The embedded servers that all integration tests use."""

from __future__ import annotations

import asyncpg
import httpx
import pytest
import redis.asyncio


async def test_redis_requires_a_password_and_evicts_nothing(redis_url):
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        assert await client.set("key", "value")
        assert (await client.config_get("maxmemory-policy")) == {"maxmemory-policy": "noeviction"}
    async with redis.asyncio.Redis.from_url(redis_url.replace(":", ":wrong", 2)) as unauthorized:
        with pytest.raises(redis.RedisError):
            await unauthorized.ping()


async def test_redis_is_empty_in_each_test(redis_url):
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0


async def test_app_role_has_no_privileges(postgres_urls):
    connection = await asyncpg.connect(postgres_urls.app_url)
    try:
        role = await connection.fetchrow(
            "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = current_user"
        )
        assert tuple(role) == ("hocket_app", False, False, False)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE SCHEMA mine")
    finally:
        await connection.close()


async def test_owner_role_has_vectors_and_durable_writes(postgres_urls):
    connection = await asyncpg.connect(postgres_urls.owner_url)
    try:
        assert await connection.fetchval("SELECT '[1,2]'::vector <-> '[1,2]'::vector") == 0
        assert await connection.fetchval("SHOW fsync") == "on"
        assert await connection.fetchval("SHOW synchronous_commit") == "on"
        assert not await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    finally:
        await connection.close()


async def test_fresh_database_is_separate(postgres_urls, fresh_postgres_urls):
    connection = await asyncpg.connect(fresh_postgres_urls.owner_url)
    try:
        await connection.execute("CREATE TABLE mine (embedding vector(3))")
    finally:
        await connection.close()
    assert fresh_postgres_urls.owner_url != postgres_urls.owner_url


async def test_postgres_rejects_a_wrong_password(postgres_urls):
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres_urls.owner_url.replace("hocket_owner:", "hocket_owner:wrong"))


async def test_livekit_answers_on_loopback(livekit_server):
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(livekit_server.url.replace("ws", "http", 1))
    assert (answer.status_code, answer.text) == (200, "OK")
    assert len(livekit_server.api_secret) == 40
