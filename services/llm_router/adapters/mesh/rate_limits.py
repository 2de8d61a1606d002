"""The tenant's limit of requests, asked of the ratelimit service; without it requests pass, and are counted."""

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
# A voice turn cannot wait for a limiter: it answers in a few milliseconds or is passed by.
TIMEOUT_S = 0.15
CHARGE_TIMEOUT_S = 2.0
CHARGES_MAX = 1000
UNCHARGED = Counter("hocket_llm_router_tokens_untold", "Answers whose tokens could not be told to ratelimit.")


class MeshRateLimits:
    """Asks ratelimit before, tells it after. Fails open."""

    def __init__(self, client: RateLimitClient) -> None:
        self._client = client
        self._charging: set[asyncio.Task[None]] = set()

    async def require_request(self, prompt_tokens: int) -> None:
        """Spend one request and the tokens of its prompt. Raises ResourceExhausted when one of them is used up."""
        spends = [Spend(limit=REQUESTS, cost=1), Spend(limit=TOKENS, cost=max(prompt_tokens, 1))]
        try:
            await self._client.require_all(spends, timeout_s=TIMEOUT_S)
        except ResourceExhausted:
            raise
        except MeshError:
            limiter_unavailable.labels("check").inc()

    def charge(self, tokens: int) -> None:
        """Spend tokens that have been used already, as far as the limit has them."""
        if tokens <= 0:
            return
        if len(self._charging) >= CHARGES_MAX:
            UNCHARGED.inc()
            return
        task = asyncio.create_task(self._charge(tokens))
        self._charging.add(task)
        task.add_done_callback(self._charging.discard)

    async def _charge(self, tokens: int) -> None:
        # The RPC that used them is over, and its time with it.
        deadline.bind(None)
        try:
            told = await self._client.check([Spend(limit=TOKENS, cost=tokens)], timeout_s=CHARGE_TIMEOUT_S)
            left = told.standings[0].remaining
            if not told.admitted and left:
                # More was used than is left: all that is left goes, and the next request waits.
                await self._client.check([Spend(limit=TOKENS, cost=left)], timeout_s=CHARGE_TIMEOUT_S)
        except MeshError:
            UNCHARGED.inc()


class NoRateLimits:
    """Where no ratelimit service is configured."""

    async def require_request(self, prompt_tokens: int) -> None:
        """Nothing is limited."""

    def charge(self, tokens: int) -> None:
        """Nobody counts."""


def open_rate_limits(
    target: str | None, resources: AsyncExitStack, *, tls: ClientTls | None = None
) -> tuple[Limits, SpentSince | None]:
    """Limits and spending as the service at `target` knows them; neither where none is given."""
    if target is None:
        return NoRateLimits(), None
    channel = MeshChannel(target, forwarded_token, tls=tls)
    resources.push_async_callback(channel.close)
    ledger = LedgerClient(channel)

    async def spent_since(start: datetime) -> int:
        return (await ledger.get_costs(start=start)).total_micro_usd

    return MeshRateLimits(RateLimitClient(channel)), spent_since
