"""The tenant's limit of requests, asked of the ratelimit service; without it requests pass, and are counted."""

from __future__ import annotations

from prometheus_client import Counter

from chassis.errors import MeshError, ResourceExhausted
from clients.ratelimit import RateLimitClient

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
