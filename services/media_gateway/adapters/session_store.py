"""Stores the conversation of a room in Redis, so that an agent that replaces a dead one continues it."""

# livekit and redis leave parameters of their generics open.
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import json
from typing import Any

import redis.asyncio as redis
import structlog
from livekit.agents import llm
from redis.exceptions import RedisError

from hocket.chassis.redis_problem import redis_problem
from services.media_gateway import telemetry

_ITEMS_MAX = 200
_BYTES_MAX = 1024 * 1024
_TIMEOUT_S = 1.0
_log = structlog.get_logger()


class SessionStore:
    """The stored conversation of one room. Fail-open: without Redis a replacing agent starts a new conversation."""

    def __init__(self, client: redis.Redis, *, tenant_id: str, room_sid: str, ttl_s: float) -> None:
        """Store the conversation of one room.

        Args:
            client: Redis client.
            tenant_id: Tenant that owns the room.
            room_sid: LiveKit's id of the room, which no later room of the same name shares.
            ttl_s: Seconds after the last turn at which the conversation expires.
        """
        self._client = client
        self._key = f"hocket:media_gateway:session:{tenant_id}:{room_sid}"
        self._ttl_s = ttl_s

    @classmethod
    def connect(cls, url: str, *, tenant_id: str, room_sid: str, ttl_s: float) -> SessionStore:
        """Return a store that connects to `url` on first use; the other arguments are the constructor's."""
        client = redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
        return cls(client, tenant_id=tenant_id, room_sid=room_sid, ttl_s=ttl_s)

    async def load(self) -> llm.ChatContext | None:
        """Return the stored conversation, or None if there is none or Redis does not answer."""
        try:
            stored: Any = await self._client.get(self._key)
        except (RedisError, OSError) as error:
            self._record_outage(error)
            return None
        if not stored:
            return None
        try:
            return llm.ChatContext.from_dict(json.loads(stored))
        except ValueError as error:
            _log.warning("session state unreadable", error=str(error))
            return None

    async def save(self, context: llm.ChatContext) -> bool:
        """Store the last 200 items of the conversation without instructions, images and audio.

        Returns:
            False if Redis does not answer or the conversation exceeds 1 MiB.
        """
        saved = context.copy(exclude_instructions=True).truncate(max_items=_ITEMS_MAX)
        state = json.dumps(saved.to_dict(exclude_image=True, exclude_audio=True))
        if len(state) > _BYTES_MAX:
            _log.warning("session state too large", size_bytes=len(state), size_bytes_max=_BYTES_MAX)
            return False
        try:
            await self._client.set(self._key, state, ex=int(self._ttl_s))
        except (RedisError, OSError) as error:
            self._record_outage(error)
            return False
        return True

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    def _record_outage(self, error: Exception) -> None:
        telemetry.fail_open.labels("redis").inc()
        _log.warning("session state unavailable", error=redis_problem(error))
