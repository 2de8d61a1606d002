"""Configuration of the parts of the gateway as plain values; those for a room's process can be pickled."""

from __future__ import annotations

from dataclasses import dataclass

from hocket.chassis.channel import ClientTls
from services.media_gateway.rooms.dispatch_rule import DispatchRule


@dataclass(frozen=True, slots=True)
class MeshKey:
    """Key that signs tokens for the other services.

    Attributes:
        key: Shared secret (HS256) or private key in PEM.
        algorithm: JWT algorithm: HS256, RS256, ES256 or EdDSA.
        key_id: Id of the key in the JWKS; None leaves it out of the token.
        issuer: `iss` claim of the tokens.
    """

    key: str
    algorithm: str = "HS256"
    key_id: str | None = None
    issuer: str = "hocket"


@dataclass(frozen=True, slots=True)
class Peers:
    """Addresses of the other services and stores; an empty one switches its part off.

    Attributes:
        speech: gRPC target of speech; required.
        llm_router: gRPC target of llm_router; required.
        vision: gRPC target of vision.
        rag: gRPC target of rag.
        ratelimit: gRPC target of ratelimit.
        backend_url: Base URL of the tenants' backend, without a trailing slash.
        redis_url: URL of the Redis that stores session state.
        key: Key for tokens; None sends none.
        tls: Client TLS for the gRPC targets; None is plain text.
    """

    speech: str
    llm_router: str
    vision: str
    rag: str
    ratelimit: str
    backend_url: str
    redis_url: str
    key: MeshKey | None
    tls: ClientTls | None


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Limits of one session; times in seconds. Fields have the names and descriptions of the settings."""

    llm_next_event_s: float
    llm_total_s: float
    tts_next_audio_s: float
    knowledge_wait_s: float
    knowledge_debounce_s: float
    passages_max: int
    frame_age_s_max: float
    frames_held_max: int
    history_items_max: int
    slot_ttl_s: float
    session_ttl_s: float
    backend_timeout_s: float


@dataclass(frozen=True, slots=True)
class JobConfig:
    """Configuration of a room's process, which can serve any tenant.

    Attributes:
        peers: Addresses of the other services and stores.
        limits: Limits of the session.
        log_level: Level of the process's log.
        log_content: Whether transcripts and answers may be logged and traced.
        otlp_endpoint: OpenTelemetry collector; None exports nothing.
        turn_topic: LiveKit text topic of turn summaries; empty sends none.
        report_path: Unix socket for turn reports to the worker's process; empty sends none.
        attach_newest_frame: Whether an unused frame is attached to a turn without a reference to something visible.
        agent_sample_rate_hz: Sample rate of the agent's voice.
    """

    peers: Peers
    limits: SessionLimits
    log_level: str
    log_content: bool
    otlp_endpoint: str | None
    turn_topic: str
    report_path: str
    attach_newest_frame: bool
    agent_sample_rate_hz: int


@dataclass(frozen=True, slots=True)
class RoomConfig:
    """Configuration of the room operations.

    Attributes:
        livekit_url: Address of the LiveKit server for clients.
        token_ttl_s: Lifetime of an access token, seconds.
        agent_join_timeout_s: Seconds after a dispatch until it counts as unanswered.
        dispatch: Interval between dispatches to one room.
    """

    livekit_url: str
    token_ttl_s: float
    agent_join_timeout_s: float
    dispatch: DispatchRule


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """Configuration of the LiveKit worker.

    Attributes:
        livekit_url: Address of the LiveKit server for the worker.
        api_key: API key of the LiveKit server.
        api_secret: Secret of that key.
        agent_name: Name by which LiveKit dispatches to this worker.
        rooms_max: Rooms served at once, one process each.
        idle_processes: Warm processes kept for new rooms.
        process_start_timeout_s: Seconds a process may take to start.
        drain_s: Seconds rooms may go on after a stop signal.
        log_level: Level of the worker's log.
    """

    livekit_url: str
    api_key: str
    api_secret: str
    agent_name: str
    rooms_max: int
    idle_processes: int
    process_start_timeout_s: float
    drain_s: float
    log_level: str
