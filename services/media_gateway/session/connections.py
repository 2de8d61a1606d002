"""Opens the clients of one session: the other services, the tenant's backend, Redis, turn reports.

All are opened in the room's own process and event loop. A gRPC channel made earlier (at import, in prewarm) belongs to
another loop and fails on first use.
"""

from __future__ import annotations

import ssl
from contextlib import AsyncExitStack

from hocket.chassis.channel import MeshChannel
from hocket.client import ratelimit, vision
from hocket.client.llm_router import RouterClient
from hocket.client.rag import RagClient
from hocket.client.ratelimit import RateLimitClient
from hocket.client.speech import SpeechClient
from hocket.client.vision import VisionClient
from services.media_gateway.adapters.backend import BackendClient
from services.media_gateway.adapters.mesh_tokens import tenant_token_source
from services.media_gateway.adapters.room_slots import RoomSlot
from services.media_gateway.adapters.session_store import SessionStore
from services.media_gateway.adapters.turn_reports import TurnReporter
from services.media_gateway.config import JobConfig
from services.media_gateway.rooms.job_context import JobContext
from services.media_gateway.session.knowledge import KnowledgeSearch


class Connections:
    """Factory of a session's clients. Each client closes with `resources`; call each method once."""

    def __init__(self, config: JobConfig, job: JobContext, resources: AsyncExitStack) -> None:
        """Open clients in the name of the job's tenant.

        Args:
            config: Addresses, keys and limits.
            job: Names the tenant.
            resources: Closes the clients when the session ends.
        """
        self._config = config
        self._job = job
        self._resources = resources
        self._token = tenant_token_source(config.peers.key, job)

    def speech(self) -> SpeechClient:
        """Return the client of speech."""
        return SpeechClient(self._channel(self._config.peers.speech))

    def llm_router(self) -> RouterClient:
        """Return the client of llm_router."""
        return RouterClient(self._channel(self._config.peers.llm_router))

    def knowledge(self) -> KnowledgeSearch | None:
        """Return the search over rag, or None where rag is not configured."""
        if not self._config.peers.rag:
            return None
        limits = self._config.limits
        knowledge = KnowledgeSearch(
            RagClient(self._channel(self._config.peers.rag)),
            passages_max=limits.passages_max,
            wait_s=limits.knowledge_wait_s,
            debounce_s=limits.knowledge_debounce_s,
        )
        self._resources.push_async_callback(knowledge.close)
        return knowledge

    def vision(self) -> VisionClient | None:
        """Return the client of vision, or None where vision is not configured."""
        if not self._config.peers.vision:
            return None
        return VisionClient(self._channel(self._config.peers.vision, vision.IDEMPOTENT))

    def room_slot(self, livekit_room: str) -> RoomSlot | None:
        """Return the room's slot at ratelimit, or None where ratelimit is not configured."""
        if not self._config.peers.ratelimit:
            return None
        client = RateLimitClient(self._channel(self._config.peers.ratelimit, ratelimit.IDEMPOTENT))
        return RoomSlot(client, livekit_room, ttl_s=self._config.limits.slot_ttl_s)

    def backend(self, tls: ssl.SSLContext) -> BackendClient | None:
        """Return the client of the tenant's backend, or None where no backend is configured.

        Args:
            tls: Certificate authorities for HTTPS, loaded in prewarm.
        """
        if not self._config.peers.backend_url:
            return None
        backend = BackendClient(
            self._config.peers.backend_url, self._token, timeout_s=self._config.limits.backend_timeout_s, tls=tls
        )
        self._resources.push_async_callback(backend.close)
        return backend

    def session_store(self, room_sid: str) -> SessionStore | None:
        """Return the store of the conversation, or None where Redis is not configured.

        Args:
            room_sid: LiveKit's id of the room, which no later room of the same name shares.
        """
        if not self._config.peers.redis_url:
            return None
        store = SessionStore.connect(
            self._config.peers.redis_url,
            tenant_id=self._job.tenant_id,
            room_sid=room_sid,
            ttl_s=self._config.limits.session_ttl_s,
        )
        self._resources.push_async_callback(store.close)
        return store

    def turn_reporter(self) -> TurnReporter:
        """Return the reporter of turns to the worker's process."""
        reporter = TurnReporter(self._config.report_path, self._job.tenant_tier)
        self._resources.callback(reporter.close)
        return reporter

    def _channel(self, target: str, idempotent: tuple[tuple[str, str], ...] = ()) -> MeshChannel:
        channel = MeshChannel(target, self._token, tls=self._config.peers.tls, idempotent=idempotent)
        self._resources.push_async_callback(channel.close)
        return channel
