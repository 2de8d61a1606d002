"""Clients of one tenant for every service of a running mesh."""

from __future__ import annotations

from collections.abc import Mapping

from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel
from hocket.client import media_gateway, rag, ratelimit, vision
from hocket.client.ledger import LedgerClient
from hocket.client.media_gateway import RoomClient
from hocket.client.rag import RagClient
from hocket.client.speech import SpeechClient
from hocket.client.vision import VisionClient

_IDEMPOTENT = {
    "rag": rag.IDEMPOTENT,
    "media_gateway": media_gateway.IDEMPOTENT,
    "ratelimit": ratelimit.IDEMPOTENT,
    "vision": vision.IDEMPOTENT,
}


class TenantClients:
    """The clients of one tenant. Close them after use.

    Attributes:
        rag: knowledge search and ingestion.
        speech: recognition and synthesis.
        rooms: LiveKit rooms.
        ledger: recorded costs.
        vision: frame statistics.
    """

    def __init__(self, targets: Mapping[str, str], minter: TokenMinter, tenant: str) -> None:
        """Open one channel per service.

        Args:
            targets: noun -> gRPC target, for instance `Mesh.targets`.
            minter: signs the tokens.
            tenant: tenant id in the tokens.
        """
        token = minter.source(tenant, caller="demo")
        self._channels = {
            noun: MeshChannel(target, token, idempotent=_IDEMPOTENT.get(noun, ())) for noun, target in targets.items()
        }
        self.rag = RagClient(self._channels["rag"])
        self.speech = SpeechClient(self._channels["speech"])
        self.rooms = RoomClient(self._channels["media_gateway"])
        self.ledger = LedgerClient(self._channels["ratelimit"])
        self.vision = VisionClient(self._channels["vision"])

    async def close(self) -> None:
        """Close every channel."""
        for channel in self._channels.values():
            await channel.close()
