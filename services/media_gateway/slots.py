"""Asks ratelimit for a tenant's room slot, in that tenant's name, before a process is spent on the room."""

from __future__ import annotations

from hocket.chassis.channel import MeshChannel
from hocket.client import ratelimit
from services.media_gateway.adapters.room_slot import RoomSlot
from services.media_gateway.admission import Slot
from services.media_gateway.job import token_source
from services.media_gateway.plan import Peers
from services.media_gateway.rooms import JobContext


class SlotDesk:
    """Takes a slot a job; the room's process renews it and gives it back."""

    def __init__(self, peers: Peers, *, ttl_s: float) -> None:
        """Ask the ratelimit service among `peers`; without one every room is served."""
        self._peers = peers
        self._ttl_s = ttl_s

    async def __call__(self, job: JobContext, livekit_room: str) -> Slot:
        """The tenant's answer."""
        if not self._peers.ratelimit:
            return Slot(None)
        # A channel a job: its token names the tenant, and jobs are rare.
        async with MeshChannel(
            self._peers.ratelimit,
            token_source(self._peers.key, job),
            tls=self._peers.tls,
            idempotent=ratelimit.IDEMPOTENT,
        ) as channel:
            return await RoomSlot(ratelimit.RateLimitClient(channel), livekit_room, ttl_s=self._ttl_s).acquire()
