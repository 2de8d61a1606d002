"""What the process of one room is told by the process that accepts jobs: plain values that can be pickled."""

from __future__ import annotations

from dataclasses import dataclass

from chassis.channel import ClientTls


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

    llm_first_event_s: float
    llm_total_s: float
    tts_first_audio_s: float
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
