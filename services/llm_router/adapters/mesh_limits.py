"""The tenant's limit of requests, asked of the ratelimit service; without it requests pass, and are counted."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import datetime

from prometheus_client import Counter

from chassis.channel import ClientTls, MeshChannel, forwarded_token
from chassis.errors import MeshError, ResourceExhausted
from clients.ledger import LedgerClient
from clients.ratelimit import RateLimitClient
from services.llm_router.adapters.day_budget import SpentSince
from services.llm_router.ports import Limits

LIMIT = "llm_requests"
# A voice turn cannot wait for a limiter: it answers in a few milliseconds or is passed by.
TIMEOUT_S = 0.15
FAILED_OPEN = Counter("hocket_llm_router_limit_fail_open", "Requests let through because ratelimit did not answer.")


class MeshLimits:
    """Asks ratelimit. Fails open."""

    def __init__(self, client: RateLimitClient) -> None:
        self._client = client

    async def require_request(self) -> None:
        """Spend one request of the caller's tenant. Raises ResourceExhausted when none is left."""
        try:
            await self._client.require(LIMIT, timeout_s=TIMEOUT_S)
        except ResourceExhausted:
            raise
        except MeshError:
            FAILED_OPEN.inc()


class NoLimits:
    """Where no ratelimit service is configured."""

    async def require_request(self) -> None:
        """Nothing is limited."""


def open_limits(
    target: str | None, resources: AsyncExitStack, *, tls: ClientTls | None = None
) -> tuple[Limits, SpentSince | None]:
    """Limits and spending as the service at `target` knows them; neither where none is given."""
    if target is None:
        return NoLimits(), None
    channel = MeshChannel(target, forwarded_token, tls=tls)
    resources.push_async_callback(channel.close)
    ledger = LedgerClient(channel)

    async def spent_since(start: datetime) -> int:
        return (await ledger.get_costs(start=start)).total_micro_usd

    return MeshLimits(RateLimitClient(channel)), spent_since
