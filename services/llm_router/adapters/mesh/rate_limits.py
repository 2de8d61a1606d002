"""Rate limits over `RateLimitService`. Fails open and counts it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import datetime

from prometheus_client import Counter

from hocket.chassis import deadline
from hocket.chassis.channel import ClientTls, MeshChannel, forwarded_token
from hocket.chassis.errors import MeshError, ResourceExhausted
from hocket.client.ledger import LedgerClient
from hocket.client.limiter_metrics import limiter_unavailable
from hocket.client.ratelimit import RateLimitClient, Spend
from services.llm_router.adapters.mesh.day_budget import SpentSince
from services.llm_router.ports import Limits

REQUESTS, TOKENS = "llm_requests", "llm_tokens"
# A limiter answers within a few milliseconds; a voice turn does not wait longer.
TIMEOUT_S = 0.15
CHARGE_TIMEOUT_S = 2.0
CHARGES_MAX = 1000
UNCHARGED = Counter("hocket_llm_router_tokens_untold", "Answers whose tokens could not be charged at ratelimit.")


class MeshRateLimits:
    """Charges the prompt before a request and the rest after it. Fails open."""

    def __init__(self, client: RateLimitClient) -> None:
        self._client = client
        self._charging: set[asyncio.Task[None]] = set()

    async def require_request(self, prompt_tokens: int) -> None:
        """Charge one request and its prompt tokens. Raises ResourceExhausted when a limit is used up."""
        spends = [Spend(limit=REQUESTS, cost=1), Spend(limit=TOKENS, cost=max(prompt_tokens, 1))]
        try:
            await self._client.require_all(spends, timeout_s=TIMEOUT_S)
        except ResourceExhausted:
            raise
        except MeshError:
            limiter_unavailable.labels("check").inc()

    def charge(self, tokens: int) -> None:
        """Charge used tokens in the background, as far as the limit allows."""
        if tokens <= 0:
            return
        if len(self._charging) >= CHARGES_MAX:
            UNCHARGED.inc()
            return
        task = asyncio.create_task(self._charge(tokens))
        self._charging.add(task)
        task.add_done_callback(self._charging.discard)

    async def _charge(self, tokens: int) -> None:
        # Without the deadline of the RPC, which is over.
        deadline.bind(None)
        try:
            result = await self._client.check([Spend(limit=TOKENS, cost=tokens)], timeout_s=CHARGE_TIMEOUT_S)
            left = result.standings[0].remaining
            if not result.admitted and left:
                # More was used than the limit has left: charge what is left, so that the next request waits.
                await self._client.check([Spend(limit=TOKENS, cost=left)], timeout_s=CHARGE_TIMEOUT_S)
        except MeshError:
            UNCHARGED.inc()


class NoRateLimits:
    """Used when no ratelimit service is configured."""

    async def require_request(self, prompt_tokens: int) -> None:
        """Allow every request."""

    def charge(self, tokens: int) -> None:
        """Do nothing."""


def open_rate_limits(
    target: str | None, resources: AsyncExitStack, *, tls: ClientTls | None = None
) -> tuple[Limits, SpentSince | None]:
    """Return limits and spending from the service at `target`; no limits where it is None."""
    if target is None:
        return NoRateLimits(), None
    channel = MeshChannel(target, forwarded_token, tls=tls)
    resources.push_async_callback(channel.close)
    ledger = LedgerClient(channel)

    async def spent_since(start: datetime) -> int:
        return (await ledger.get_costs(start=start)).total_micro_usd

    return MeshRateLimits(RateLimitClient(channel)), spent_since
