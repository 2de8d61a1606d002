"""Room slots of a tenant at ratelimit: acquired before a job is accepted, renewed by the room's process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from hocket.chassis.channel import MeshChannel
from hocket.chassis.errors import MeshError
from hocket.client import ratelimit
from hocket.client.limiter_metrics import limiter_unavailable
from hocket.client.ratelimit import RateLimitClient
from services.media_gateway.adapters.mesh_tokens import tenant_token_source
from services.media_gateway.config import Peers
from services.media_gateway.rooms.admission import SlotAnswer
from services.media_gateway.rooms.job_context import JobContext

LIMIT = "rooms"
_log = structlog.get_logger()


class RoomSlot:
    """The slot of one room. Fail-open: without ratelimit the room is served, and a metric counts it.

    The holder of the slot is the room, so an agent that replaces a dead one renews the same slot.
    """

    def __init__(self, client: RateLimitClient, holder: str, *, ttl_s: float) -> None:
        """Address the slot of one room.

        Args:
            client: Client whose token names the tenant.
            holder: Name of the room on the LiveKit server.
            ttl_s: Seconds after which ratelimit frees a slot that was not renewed.
        """
        self._client = client
        self._holder = holder
        self._ttl_s = ttl_s
        self._renewal: asyncio.Task[None] | None = None

    async def acquire(self) -> SlotAnswer:
        """Acquire or renew the slot."""
        try:
            answer = await self._client.acquire(LIMIT, self._holder, ttl_s=self._ttl_s)
        except MeshError as error:
            limiter_unavailable.labels("acquire").inc()
            _log.warning("room served without a slot", error=error.message)
            return SlotAnswer(None)
        return SlotAnswer(answer.acquired)

    def start_renewal(self, on_failure: Callable[[], None]) -> None:
        """Renew the slot three times per `ttl_s` until `release`.

        Args:
            on_failure: Called after each renewal that ratelimit did not answer.
        """
        self._renewal = asyncio.create_task(self._renew(on_failure), name="slot-renew")

    async def release(self, *, replaced: bool) -> None:
        """Stop the renewal and return the slot.

        Args:
            replaced: Whether another agent has taken over the room; the slot is then left to it.
        """
        if self._renewal:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
        if replaced:
            return
        try:
            await self._client.release(LIMIT, self._holder)
        except MeshError as error:
            _log.warning("slot not released; it expires", error=error.message, ttl_s=self._ttl_s)

    async def _renew(self, on_failure: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(self._ttl_s / 3)
            # A refused renewal is ignored: a running room is not ended when its tenant's limit shrinks.
            answer = await self.acquire()
            if answer.acquired is None:
                on_failure()


class JobSlots:
    """Acquires the room slot for a job that LiveKit offers, before a process is used for it."""

    def __init__(self, peers: Peers, *, ttl_s: float) -> None:
        """Acquire slots.

        Args:
            peers: Addresses of the mesh; with an empty `ratelimit` every job gets a slot.
            ttl_s: Seconds after which ratelimit frees a slot that was not renewed.
        """
        self._peers = peers
        self._ttl_s = ttl_s

    async def acquire(self, job: JobContext, livekit_room: str) -> SlotAnswer:
        """Acquire a slot in the name of the job's tenant; the room's process renews and releases it."""
        if not self._peers.ratelimit:
            return SlotAnswer(None)
        # One channel per job: its token names the tenant, and jobs are rare.
        async with MeshChannel(
            self._peers.ratelimit,
            tenant_token_source(self._peers.key, job),
            tls=self._peers.tls,
            idempotent=ratelimit.IDEMPOTENT,
        ) as channel:
            return await RoomSlot(RateLimitClient(channel), livekit_room, ttl_s=self._ttl_s).acquire()
