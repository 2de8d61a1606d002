"""Redis connection of all adapters: a timeout on each call, and driver errors translated to Unavailable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from hocket.chassis.errors import Unavailable
from hocket.chassis.redis_problem import redis_problem

T = TypeVar("T")


class RedisCalls:
    """Connection pool; each call, including the connection, ends within the timeout."""

    def __init__(self, url: str, *, timeout_s: float, connections_max: int = 32) -> None:
        """Prepare; connections open on first use.

        Args:
            url: Redis URL.
            timeout_s: Timeout of each call, in seconds.
            connections_max: Most open connections; further calls wait for a free one within their timeout.
        """
        self._timeout_s = timeout_s
        pool = BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType] - redis leaves **kwargs untyped
            url,
            max_connections=connections_max,
            timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            # `answer` bounds each call; retries of the driver would exceed that.
            retry=Retry(NoBackoff(), 0),
        )
        self.redis = Redis(connection_pool=pool)

    async def answer(self, call: Awaitable[T]) -> T:
        """Return the result of a call.

        Raises:
            Unavailable: Redis failed or did not answer within the timeout.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await call
        except (RedisError, OSError, TimeoutError) as error:
            problem = f"Redis did not answer within {self._timeout_s:g} s: {redis_problem(error)}"
            raise Unavailable(problem, retry_after_s=1) from error

    async def run(self, script: str, keys: list[str], values: list[Any]) -> Any:
        """Return the result of a Lua script.

        Raises:
            Unavailable: Redis failed or did not answer within the timeout.
        """
        # EVAL: the scripts are short, and EVALSHA needs a second round trip after each restart of Redis.
        return await self.answer(self.redis.eval(script, len(keys), *keys, *values))

    async def close(self) -> None:
        """Close all connections."""
        await self.redis.aclose()
        await self.redis.connection_pool.disconnect()


def key_part(text: str) -> str:
    """Return `text` in hex, free of the separators and hash-tag braces of Redis keys."""
    return text.encode().hex()
