"""Limit store in Redis: each decision is one Lua script on Redis' clock, over keys of one tenant and hash slot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha1
from pathlib import Path
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from hocket.chassis.redis_problem import redis_problem
from services.ratelimit import telemetry
from services.ratelimit.algorithms.gcra import emission_rate
from services.ratelimit.algorithms.sliding_log import LEASE_DIVISOR, lease_ttl_us, smallest_lease
from services.ratelimit.algorithms.slots import Holding
from services.ratelimit.errors import StoreUnavailable
from services.ratelimit.limits.rate_limits import Algorithm, Charge, RateLimit, SlotLimit, Verdict

_FOLDER = Path(__file__).parent
# Redis runs one script at a time: a script over more keys would delay every other tenant.
_KEYS_PER_SCRIPT_MAX = 256


class _Script:
    def __init__(self, *files: str) -> None:
        self.text = "\n".join((_FOLDER / file).read_text(encoding="utf-8") for file in files)
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


_DECIDE = _Script("log.lua", "decide.lua")
_LEASE = _Script("log.lua", "lease.lua")
_RETURN_LEASE = _Script("log.lua", "return_lease.lua")
_SLOTS = _Script("log.lua", "slots.lua")


class RedisStore:
    """Implements ports.LimitStore over Redis or Redis Cluster."""

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        connections_max: int = 64,
        cluster: bool = False,
        key_prefix: str = "hocket:rl",
    ) -> None:
        """Create a store; the first call connects.

        Args:
            url: Redis URL; with `cluster`, of any node of the cluster.
            timeout_s: Longest duration of a call, connecting included, in seconds; then StoreUnavailable is raised.
            connections_max: Connections to Redis, or to each node of a cluster.
            cluster: Whether Redis is a Redis Cluster.
            key_prefix: Prefix of every key.
        """
        self._timeout_s = timeout_s
        self._prefix = key_prefix
        self._redis = _cluster(url, timeout_s, connections_max) if cluster else _single(url, timeout_s, connections_max)

    async def check(self) -> None:
        """Readiness check: raise StoreUnavailable unless Redis answers within 1 s."""
        async with self._answering("ping", 1.0):
            await self._redis.ping()  # pyright: ignore[reportUnknownMemberType] - redis leaves **kwargs untyped

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()

    async def spend_all(self, tenant_id: str, charges: Sequence[Charge]) -> list[Verdict]:
        """Spend every charge, or none if one does not fit."""
        return await self._decide("all", tenant_id, charges)

    async def spend_each(self, tenant_id: str, charges: Sequence[Charge]) -> list[Verdict]:
        """Decide and spend each charge on its own, in order."""
        verdicts: list[Verdict] = []
        for start in range(0, len(charges), _KEYS_PER_SCRIPT_MAX):
            verdicts += await self._decide("each", tenant_id, charges[start : start + _KEYS_PER_SCRIPT_MAX])
        return verdicts

    async def peek(self, tenant_id: str, charge: Charge) -> Verdict:
        """Return the verdict of a charge, spending nothing."""
        return (await self._decide("peek", tenant_id, [charge]))[0]

    async def lease(self, tenant_id: str, lease_id: str, limit: RateLimit, subject: str, units: int) -> tuple[int, int]:
        """Debit up to `units` in advance."""
        keys = [self._bucket(tenant_id, limit, subject), self._lease(tenant_id, lease_id)]
        numbers = (units, limit.capacity_units, limit.window_us, limit.grain_us, lease_ttl_us(limit))
        answer = await self._run(_LEASE, keys, [lease_id, *numbers, smallest_lease(limit), LEASE_DIVISOR])
        return int(answer[0]), int(answer[1])

    async def return_lease(self, tenant_id: str, lease_id: str, units: int) -> int | None:
        """End a lease and free its unspent units."""
        key = self._lease(tenant_id, lease_id)
        async with self._answering("hget", self._timeout_s):
            bucket = await self._redis.hget(key, "bucket")
        if bucket is None:
            return None
        held = int(await self._run(_RETURN_LEASE, [str(bucket), key], [lease_id, units]))
        return None if held < 0 else held

    async def acquire(self, tenant_id: str, limit: SlotLimit, holder: str, ttl_us: int) -> Holding:
        """Take a slot, or renew the holder's own."""
        key = self._slots(tenant_id, limit)
        answer = await self._run(_SLOTS, [key], ["acquire", holder, limit.capacity_slots, ttl_us])
        return Holding(bool(answer[0]), int(answer[1]))

    async def release(self, tenant_id: str, limit: SlotLimit, holder: str) -> None:
        """Release the holder's slot."""
        await self._run(_SLOTS, [self._slots(tenant_id, limit)], ["release", holder])

    async def _decide(self, mode: str, tenant_id: str, charges: Sequence[Charge]) -> list[Verdict]:
        keys = [self._bucket(tenant_id, charge.limit, charge.subject) for charge in charges]
        arguments: list[str | int] = [mode]
        for charge in charges:
            arguments += _arguments(charge)
        answer = [int(number) for number in await self._run(_DECIDE, keys, arguments)]
        return [
            Verdict(fits == 1, remaining, None if wait < 0 else wait)
            for fits, remaining, wait in zip(answer[::3], answer[1::3], answer[2::3], strict=True)
        ]

    async def _run(self, script: _Script, keys: Sequence[str], arguments: Sequence[str | int]) -> Any:
        async with self._answering("script", self._timeout_s):
            try:
                return await self._redis.evalsha(script.sha, len(keys), *keys, *arguments)
            except NoScriptError:
                # A new or restarted Redis has not loaded the script; EVAL runs and loads it.
                return await self._redis.eval(script.text, len(keys), *keys, *arguments)

    @asynccontextmanager
    async def _answering(self, command: str, timeout_s: float) -> AsyncGenerator[None, None]:
        started, outcome = time.perf_counter(), "failed"
        try:
            async with asyncio.timeout(timeout_s):
                yield
            outcome = "ok"
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(
                f"Redis did not answer {command} within {timeout_s:g} s: {redis_problem(error)}", retry_after_s=1
            ) from error
        finally:
            telemetry.REDIS_SECONDS.labels(command, outcome).observe(time.perf_counter() - started)

    # The braces are a hash tag: all keys of a tenant are in one hash slot of a cluster. No part before the subject may
    # contain a colon or a brace, and the subject is last, so that two buckets never share a key.
    def _bucket(self, tenant_id: str, limit: RateLimit, subject: str) -> str:
        return f"{self._prefix}:{{{tenant_id}}}:{limit.algorithm}:{limit.name}:{subject}"

    def _slots(self, tenant_id: str, limit: SlotLimit) -> str:
        return f"{self._prefix}:{{{tenant_id}}}:slots:{limit.name}"

    def _lease(self, tenant_id: str, lease_id: str) -> str:
        return f"{self._prefix}:{{{tenant_id}}}:lease:{lease_id}"


# Each call has a deadline in _answering; retries inside the client would exceed it.
_NO_RETRY = Retry(NoBackoff(), 0)


def _single(url: str, timeout_s: float, connections_max: int) -> Redis:
    pool = BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType] - redis leaves **kwargs untyped
        url,
        max_connections=connections_max,
        timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=_NO_RETRY,
        decode_responses=True,
    )
    return Redis.from_pool(pool)


def _cluster(url: str, timeout_s: float, connections_max: int) -> RedisCluster:
    return RedisCluster.from_url(  # pyright: ignore[reportUnknownMemberType] - as above
        url,
        max_connections=connections_max,
        socket_connect_timeout=timeout_s,
        retry=_NO_RETRY,
        decode_responses=True,
    )


def _arguments(charge: Charge) -> tuple[str | int, ...]:
    limit = charge.limit
    if limit.algorithm is Algorithm.LOG:
        return "log", charge.cost_units, limit.capacity_units, limit.window_us, limit.grain_us
    rate = emission_rate(limit)
    return "gcra", charge.cost_units, rate.burst_units, rate.interval_us, 0
