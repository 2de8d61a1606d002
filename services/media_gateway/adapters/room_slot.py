"""A tenant's slot for a room: taken before a process is spent, renewed while the room lives, given back at its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from hocket.chassis.errors import MeshError
from hocket.client.limiter_metrics import limiter_unavailable
from hocket.client.ratelimit import RateLimitClient
from services.media_gateway.admission import Slot

LIMIT = "rooms"
_log = structlog.get_logger()


class RoomSlot:
    """The slot of one room. Fail-open: a room is served while ratelimit is away, and that is counted."""

    def __init__(self, client: RateLimitClient, holder: str, *, ttl_s: float) -> None:
        """Hold as `holder`, the room, so that an agent sent after a dead one takes over its slot."""
        self._client = client
        self._holder = holder
        self._ttl_s = ttl_s
        self._renewing: asyncio.Task[None] | None = None

    async def acquire(self) -> Slot:
        """Take or renew the slot."""
        try:
            answer = await self._client.acquire(LIMIT, self._holder, ttl_s=self._ttl_s)
        except MeshError as error:
            limiter_unavailable.labels("acquire").inc()
            _log.warning("room served without a slot", error=error.message)
            return Slot(None)
        return Slot(answer.acquired)

    def keep(self, on_trouble: Callable[[], None]) -> None:
        """Renew until `release`, thrice in the slot's life; `on_trouble` is called for each time in vain."""
        self._renewing = asyncio.create_task(self._renew(on_trouble), name="slot-renew")

    async def release(self, *, taken_over: bool) -> None:
        """Give the slot back, unless another agent has taken over the room and with it the slot."""
        if self._renewing:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        if taken_over:
            return
        try:
            await self._client.release(LIMIT, self._holder)
        except MeshError as error:
            _log.warning("slot not released; it ends by itself", error=error.message, ttl_s=self._ttl_s)

    async def _renew(self, on_trouble: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(self._ttl_s / 3)
            # A room that is running is not cut off when its tenant's limit shrinks.
            slot = await self.acquire()
            if slot.acquired is None:
                on_trouble()
