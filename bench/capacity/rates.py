"""Operations that rooms cause in the services and in Redis, read from the metrics that they export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import redis.asyncio
from prometheus_client.parser import text_string_to_metric_families

from local.mesh import Mesh

_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter of one service, summed over its labels.

    Attributes:
        title: name in the table.
        service: noun of the service that exports it.
        sample: name of the sample.
    """

    title: str
    service: str
    sample: str


COUNTERS = (
    Counter("knowledge queries", "rag", "hocket_rag_queries_total"),
    Counter("limit decisions", "ratelimit", "hocket_ratelimit_decisions_total"),
    Counter("cost events", "ratelimit", "hocket_ratelimit_cost_events_total"),
    Counter("frame offers", "vision", "hocket_vision_offers_total"),
)
REDIS_COMMANDS = "Redis commands"


async def read_counters(mesh: Mesh) -> dict[str, float]:
    """Return title -> value for every counter and for the commands that Redis has processed."""
    found: dict[str, float] = {}
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        for counter in COUNTERS:
            async with session.get(f"{mesh.ops_urls[counter.service]}/metrics") as reply:
                found[counter.title] = _sum(await reply.text(), counter.sample)
    async with redis.asyncio.from_url(mesh.redis_url, socket_timeout=_TIMEOUT_S) as client:
        found[REDIS_COMMANDS] = float((await client.info("stats"))["total_commands_processed"])
    return found


def difference(later: Mapping[str, float], earlier: Mapping[str, float]) -> dict[str, float]:
    """Return what each counter of `later` has gained since `earlier`."""
    return {name: value - earlier.get(name, 0.0) for name, value in later.items()}


def _sum(exposition: str, sample: str) -> float:
    return sum(
        each.value
        for family in text_string_to_metric_families(exposition)
        for each in family.samples
        if each.name == sample
    )
