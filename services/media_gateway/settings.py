"""What the media gateway can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from hocket.chassis.auth import TokenVerifier
from hocket.chassis.identity import Identity
from hocket.chassis.server import LOCAL_IDENTITY
from hocket.chassis.settings import Port, ServerSettings, is_loopback
from services.media_gateway.config import JobConfig, MeshKey, Peers, RoomConfig, SessionLimits, WorkerConfig
from services.media_gateway.rooms.dispatch_rule import DispatchRule

# What `livekit-server --dev` uses; refused for any server that is not on loopback.
_DEV_KEY, _DEV_SECRET = "devkey", "secret"


class Settings(ServerSettings):
    """Settings of the media gateway."""

    model_config = SettingsConfigDict(env_prefix="HOCKET_MEDIA_GATEWAY_")

    http_host: str = Field(default="127.0.0.1", description="Address of the JSON front end and webhook receiver.")
    http_port: Port = Field(default=0, description="Port of the JSON front end; 0 lets the system choose.")
    http_origins: list[str] = Field(
        default=[], max_length=64, description='Origins of browsers that may call, as JSON: ["https://app.example"].'
    )
    livekit_url: str = Field(default="ws://127.0.0.1:7880", description="LiveKit server, ws:// or wss://.")
    livekit_public_url: str = Field(default="", description="Address given to clients; empty means livekit_url.")
    livekit_api_key: str = Field(default=_DEV_KEY, min_length=1, description="API key of the LiveKit server.")
    livekit_api_secret: SecretStr = Field(default=SecretStr(_DEV_SECRET), description="Secret of that key.")
    agent_name: str = Field(default="hocket", min_length=1, max_length=64, description="Name agents are dispatched by.")

    speech_target: str = Field(default="127.0.0.1:50051", description="gRPC target of speech.")
    llm_router_target: str = Field(default="127.0.0.1:50052", description="gRPC target of llm_router.")
    vision_target: str = Field(default="", description="gRPC target of vision; empty leaves video out.")
    rag_target: str = Field(default="", description="gRPC target of rag; empty leaves knowledge out.")
    ratelimit_target: str = Field(default="", description="gRPC target of ratelimit; empty skips room limits.")
    backend_url: str = Field(default="", description="The tenants' backend; empty means default settings, no tools.")
    redis_url: SecretStr | None = Field(default=None, description="Redis for session state; unset keeps none.")
    mesh_key_file: Path | None = Field(
        default=None, description="PEM private key that signs tokens for the mesh; unset signs with jwt_secret."
    )
    mesh_key_id: str | None = Field(default=None, description="Name of that key in the JWKS.")
    mesh_key_algorithm: Literal["RS256", "ES256", "EdDSA"] = Field(default="ES256", description="Its algorithm.")

    rooms_max: int = Field(default=10, ge=1, le=500, description="Rooms served at once; one process each.")
    idle_processes: int = Field(default=1, ge=0, le=16, description="Processes kept warm for the next room.")
    process_start_timeout_s: float = Field(default=60, gt=0, le=600, description="Longest start of a room's process.")
    worker_drain_s: float = Field(default=1800, gt=0, le=86_400, description="Time for rooms to end when stopping.")
    token_ttl_s: float = Field(default=3600, ge=60, le=86_400, description="Life of a LiveKit token.")
    agent_join_timeout_s: float = Field(
        default=20, gt=0, le=300, description="Wait for an agent before its absence is reported."
    )
    dispatch_grace_s: float = Field(
        default=15, gt=0, le=600, description="Time an agent has to arrive before another is dispatched."
    )
    dispatch_grace_s_max: float = Field(
        default=300, gt=0, le=3600, description="Longest such time, after vain dispatches."
    )
    sweep_interval_s: float = Field(default=15, ge=1, le=600, description="Time between looks at every room.")

    llm_next_event_s: float = Field(
        default=6, gt=0, le=60, description="Wait for the answer's first word, and for each next one."
    )
    llm_total_s: float = Field(default=60, gt=0, le=600, description="Longest answer of a model.")
    tts_next_audio_s: float = Field(default=4, gt=0, le=60, description="Wait for the voice when words were sent.")
    knowledge_wait_s: float = Field(default=0.15, ge=0, le=5, description="Wait of a turn for knowledge.")
    knowledge_debounce_s: float = Field(default=0.1, ge=0, le=2, description="Rest between prefetches.")
    passages_max: int = Field(default=4, ge=1, le=20, description="Passages given to the model.")
    frame_age_s_max: float = Field(default=10, gt=0, le=600, description="Age at which a kept frame is not attached.")
    frames_held_max: int = Field(default=4, ge=1, le=32, description="Kept frames held per room.")
    attach_newest_frame: bool = Field(
        default=False,
        description="Whether a frame new since the last turn is attached even when nothing visible is spoken of.",
    )
    history_items_max: int = Field(default=200, ge=4, le=900, description="Items of conversation sent to the model.")
    slot_ttl_s: float = Field(default=60, ge=5, le=3600, description="Life of a room's slot unless renewed.")
    session_ttl_s: float = Field(default=3600, ge=60, le=86_400, description="Life of session state in Redis.")
    backend_timeout_s: float = Field(default=2, gt=0, le=30, description="Longest call to the backend.")
    turn_topic: str = Field(
        default="hocket.turn", max_length=64, description="Topic of per-turn facts for clients; empty sends none."
    )
    agent_sample_rate_hz: Literal[16000, 24000, 48000] = Field(default=24000, description="Rate of the agent's voice.")

    @model_validator(mode="after")
    def _safe_livekit(self) -> Self:
        if urlsplit(self.livekit_url).scheme not in {"ws", "wss"}:
            raise ValueError("livekit_url must start with ws:// or wss://")
        host = urlsplit(self.livekit_url).hostname or ""
        if self.livekit_api_secret.get_secret_value() == _DEV_SECRET and not is_loopback(host):
            raise ValueError("livekit_api_secret is the development secret and livekit_url is not on loopback")
        if not self.has_key and not is_loopback(self.http_host):
            raise ValueError(f"http_host {self.http_host} is not loopback and no key is set")
        if self.has_key and not self.jwt_secret and not self.mesh_key_file:
            raise ValueError("mesh_key_file is needed to sign tokens for the mesh where there is no jwt_secret")
        return self

    def mesh_key(self) -> MeshKey | None:
        """What tokens for the mesh are signed with; None where no key is configured at all."""
        if self.mesh_key_file:
            pem = self.mesh_key_file.read_text(encoding="utf-8")
            return MeshKey(pem, self.mesh_key_algorithm, self.mesh_key_id, self.jwt_issuer or "hocket")
        if self.jwt_secret:
            return MeshKey(self.jwt_secret.get_secret_value(), issuer=self.jwt_issuer or "hocket")
        return None

    def peers(self) -> Peers:
        """Where the other services are."""
        return Peers(
            speech=self.speech_target,
            llm_router=self.llm_router_target,
            vision=self.vision_target,
            rag=self.rag_target,
            ratelimit=self.ratelimit_target,
            backend_url=self.backend_url.rstrip("/"),
            redis_url=self.redis_url.get_secret_value() if self.redis_url else "",
            key=self.mesh_key(),
            tls=self.peer_tls,
        )

    def limits(self) -> SessionLimits:
        """How long a turn may wait for each part."""
        return SessionLimits(**{name: getattr(self, name) for name in SessionLimits.__dataclass_fields__})

    def room_config(self) -> RoomConfig:
        """What rooms are run by."""
        return RoomConfig(
            livekit_url=self.livekit_public_url or self.livekit_url,
            token_ttl_s=self.token_ttl_s,
            agent_join_timeout_s=self.agent_join_timeout_s,
            dispatch=DispatchRule(self.dispatch_grace_s, self.dispatch_grace_s_max),
        )

    def worker_config(self) -> WorkerConfig:
        """How the worker runs."""
        return WorkerConfig(
            livekit_url=self.livekit_url,
            api_key=self.livekit_api_key,
            api_secret=self.livekit_api_secret.get_secret_value(),
            agent_name=self.agent_name,
            rooms_max=self.rooms_max,
            idle_processes=self.idle_processes,
            process_start_timeout_s=self.process_start_timeout_s,
            drain_s=self.worker_drain_s,
            log_level=self.log_level,
        )

    def job_config(self, report_path: str) -> JobConfig:
        """What a room's process is told; turns are reported to the socket at `report_path`."""
        return JobConfig(
            peers=self.peers(),
            limits=self.limits(),
            log_level=self.log_level,
            log_content=self.log_content,
            otlp_endpoint=self.otlp_endpoint,
            turn_topic=self.turn_topic,
            report_path=report_path,
            attach_newest_frame=self.attach_newest_frame,
            agent_sample_rate_hz=self.agent_sample_rate_hz,
        )

    def token_verifier(self) -> TokenVerifier:
        """Verifies callers of the JSON front end by the same keys as the gRPC port does."""
        return TokenVerifier(
            secret=self.jwt_secret.get_secret_value() if self.jwt_secret else None,
            jwks_url=self.jwks_url,
            jwks_file=self.jwks_file,
            issuer=self.jwt_issuer,
        )

    def local_identity(self) -> Identity | None:
        """Who everybody is where no key is configured, which is allowed on loopback alone."""
        return None if self.has_key else LOCAL_IDENTITY
