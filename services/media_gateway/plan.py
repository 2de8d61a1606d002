"""What the parts of the gateway are told: plain values; those for the process of a room can be pickled."""

from __future__ import annotations

from dataclasses import dataclass

from hocket.chassis.channel import ClientTls
from services.media_gateway.rooms import DispatchRule


@dataclass(frozen=True, slots=True)
class MeshKey:
    """What tokens for the mesh are signed with: a shared secret (HS256) or a PEM private key named `key_id`."""

    key: str
    algorithm: str = "HS256"
    key_id: str | None = None
    issuer: str = "hocket"


@dataclass(frozen=True, slots=True)
class Peers:
    """Where the other services are; an empty target leaves its part out."""

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
class Bounds:
    """How long a turn may wait for each part, in seconds, and how much it may carry."""

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
class JobPlan:
    """All that a room's process needs to serve whichever tenant it is given."""

    peers: Peers
    bounds: Bounds
    log_level: str
    log_content: bool
    otlp_endpoint: str | None
    turn_topic: str
    report_path: str
    attach_newest_frame: bool
    agent_sample_rate_hz: int


@dataclass(frozen=True, slots=True)
class RoomRules:
    """What rooms are run by: the address clients connect to, the life of a token, and when agents are asked for."""

    livekit_url: str
    token_ttl_s: float
    agent_join_timeout_s: float
    dispatch: DispatchRule


@dataclass(frozen=True, slots=True)
class WorkerRules:
    """How the worker runs: the LiveKit server, the name it is dispatched by, and how many rooms it takes."""

    livekit_url: str
    api_key: str
    api_secret: str
    agent_name: str
    rooms_max: int
    idle_processes: int
    process_start_timeout_s: float
    drain_s: float
    log_level: str
