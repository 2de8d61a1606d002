"""A conversation kept in Redis while its room lives, so that an agent sent after a dead one carries on."""

# livekit and redis leave parameters of their generics open.
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import json
from typing import Any

import redis.asyncio as redis
import structlog
from livekit.agents import llm
from redis.exceptions import RedisError

from services.media_gateway import telemetry

_ITEMS_MAX = 200
_BYTES_MAX = 1024 * 1024
_TIMEOUT_S = 1.0
_log = structlog.get_logger()


class SessionStore:
    """State of one room. Fail-open: without Redis a new agent begins anew."""

    def __init__(self, client: redis.Redis, *, tenant_id: str, room_sid: str, ttl_s: float) -> None:
        """Keep under the room's sid, which no later room of the same name shares, for `ttl_s` after the last turn."""
        self._client = client
        self._key = f"hocket:media_gateway:session:{tenant_id}:{room_sid}"
        self._ttl_s = ttl_s

    @classmethod
    def connect(cls, url: str, *, tenant_id: str, room_sid: str, ttl_s: float) -> SessionStore:
        """Connect lazily to `url`."""
        client = redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
        return cls(client, tenant_id=tenant_id, room_sid=room_sid, ttl_s=ttl_s)

    async def load(self) -> llm.ChatContext | None:
        """The conversation so far, or None."""
        try:
            held: Any = await self._client.get(self._key)
        except (RedisError, OSError) as error:
            self._away(error)
            return None
        if not held:
            return None
        try:
            return llm.ChatContext.from_dict(json.loads(held))
        except ValueError as error:
            _log.warning("session state unreadable", error=str(error))
            return None

    async def save(self, context: llm.ChatContext) -> bool:
        """Keep the conversation, without instructions and pictures; False when Redis is away."""
        kept = context.copy(exclude_instructions=True).truncate(max_items=_ITEMS_MAX)
        state = json.dumps(kept.to_dict(exclude_image=True, exclude_audio=True))
        if len(state) > _BYTES_MAX:
            _log.warning("session state too large", size_bytes=len(state))
            return False
        try:
            await self._client.set(self._key, state, ex=int(self._ttl_s))
        except (RedisError, OSError) as error:
            self._away(error)
            return False
        return True

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    def _away(self, error: Exception) -> None:
        telemetry.fail_open.labels("redis").inc()
        _log.warning("session state unavailable", error=str(error))
