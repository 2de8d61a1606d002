"""One way to Redis for every adapter: a deadline on each call, and its driver's errors translated at the seam."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from hocket.chassis.errors import Unavailable

T = TypeVar("T")


class RedisCalls:
    """A pool of connections whose every answer, connecting included, comes within `timeout_s` or not at all."""

    def __init__(self, url: str, *, timeout_s: float, connections_max: int = 32) -> None:
        """Connect lazily."""
        self._timeout_s = timeout_s
        pool = BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType] - redis leaves **kwargs untyped
            url,
            max_connections=connections_max,
            timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            # The deadline below bounds each call; the client's own retries would outlive it.
            retry=Retry(NoBackoff(), 0),
        )
        self.redis = Redis(connection_pool=pool)

    async def answer(self, call: Awaitable[T]) -> T:
        """The answer to a call. Raises Unavailable."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await call
        except (RedisError, OSError, TimeoutError) as error:
            raise Unavailable("Redis does not answer", retry_after_s=1) from error

    async def run(self, script: str, keys: list[str], values: list[Any]) -> Any:
        """What a Lua script returns. Raises Unavailable."""
        # The scripts are short: sending one costs less than the round trip that EVALSHA needs after a restart.
        return await self.answer(self.redis.eval(script, len(keys), *keys, *values))

    async def close(self) -> None:
        """Close every connection."""
        await self.redis.aclose()
        await self.redis.connection_pool.disconnect()


def key_part(text: str) -> str:
    """`text` so that it can stand in a key: no separator, no brace of a cluster's hash tag."""
    return text.encode().hex()
