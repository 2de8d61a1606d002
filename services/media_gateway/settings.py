"""Settings of the media gateway, read from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from hocket.chassis.auth import TokenVerifier
from hocket.chassis.identity import Identity
from hocket.chassis.server import LOCAL_IDENTITY
from hocket.chassis.settings import HttpUrl, Port, RedisUrl, ServerSettings, is_loopback, url_of
from services.media_gateway.config import JobConfig, MeshKey, Peers, RoomConfig, SessionLimits, WorkerConfig
from services.media_gateway.rooms.dispatch_rule import DispatchRule

# The key pair of `livekit-server --dev`; accepted for a server on loopback only.
_DEV_KEY, _DEV_SECRET = "devkey", "secret"


class Settings(ServerSettings):
    """Settings of the media gateway."""

    model_config = SettingsConfigDict(env_prefix="HOCKET_MEDIA_GATEWAY_")

    http_host: str = Field(default="127.0.0.1", description="Listen address of the HTTP API and webhook receiver.")
    http_port: Port = Field(default=0, description="Port of the HTTP API; 0 chooses a free one.")
    http_origins: list[str] = Field(
        default=[], max_length=64, description='Origins allowed by CORS, as JSON: ["https://app.example"].'
    )
    livekit_url: str = Field(
        default="ws://127.0.0.1:7880", description="Address of the LiveKit server, ws:// or wss://."
    )
    livekit_public_url: Annotated[str, url_of("ws", "http", "https", "wss")] = Field(
        default="", description="LiveKit address for clients; empty means livekit_url."
    )
    livekit_api_key: str = Field(default=_DEV_KEY, min_length=1, description="API key of the LiveKit server.")
    livekit_api_secret: SecretStr = Field(default=SecretStr(_DEV_SECRET), description="Secret of the API key.")
    agent_name: str = Field(
        default="hocket",
        min_length=1,
        max_length=64,
        description="Name under which the worker registers and agents are dispatched.",
    )

    speech_target: str = Field(default="127.0.0.1:50051", description="gRPC target of speech.")
    llm_router_target: str = Field(default="127.0.0.1:50052", description="gRPC target of llm_router.")
    vision_target: str = Field(default="", description="gRPC target of vision; empty switches video off.")
    rag_target: str = Field(default="", description="gRPC target of rag; empty switches knowledge off.")
    ratelimit_target: str = Field(default="", description="gRPC target of ratelimit; empty switches room limits off.")
    backend_url: HttpUrl = Field(
        default="", description="Base URL of the tenants' backend; empty means default settings and no backend tools."
    )
    redis_url: RedisUrl | None = Field(default=None, description="Redis for session state; unset stores none.")
    mesh_key_file: Path | None = Field(
        default=None, description="PEM private key that signs tokens for the mesh; unset signs with jwt_secret."
    )
    mesh_key_id: str | None = Field(default=None, description="Id of mesh_key_file's key in the JWKS.")
    mesh_key_algorithm: Literal["RS256", "ES256", "EdDSA"] = Field(
        default="ES256", description="Algorithm of mesh_key_file's key."
    )

    rooms_max: int = Field(default=10, ge=1, le=500, description="Rooms served at once, one process each.")
    idle_processes: int = Field(default=1, ge=0, le=16, description="Warm processes kept for new rooms.")
    process_start_timeout_s: float = Field(
        default=60, gt=0, le=600, description="Start timeout of a room's process, in seconds."
    )
    worker_drain_s: float = Field(
        default=1800, gt=0, le=86_400, description="Time rooms have to end after a stop signal, in seconds."
    )
    deletion_cost_pod: str = Field(
        default="",
        description="Name of this pod; where set, its pod-deletion-cost in Kubernetes is the number of its rooms.",
    )
    token_ttl_s: float = Field(
        default=3600, ge=60, le=86_400, description="Lifetime of a LiveKit access token, in seconds."
    )
    agent_join_timeout_s: float = Field(
        default=20, gt=0, le=300, description="Time after a dispatch at which a missing agent is counted, in seconds."
    )
    dispatch_grace_s: float = Field(
        default=15, gt=0, le=600, description="Time an agent has to join before another is dispatched, in seconds."
    )
    dispatch_grace_s_max: float = Field(
        default=300,
        gt=0,
        le=3600,
        description="Upper bound of dispatch_grace_s, which each unanswered dispatch doubles.",
    )
    sweep_interval_s: float = Field(
        default=15, ge=1, le=600, description="Interval between sweeps over all rooms, in seconds."
    )

    llm_next_event_s: float = Field(
        default=6,
        gt=0,
        le=60,
        description="Wait for the first output of the model, and for each further one, in seconds.",
    )
    llm_total_s: float = Field(default=60, gt=0, le=600, description="Deadline of a model call, in seconds.")
    tts_next_audio_s: float = Field(
        default=4, gt=0, le=60, description="Wait for audio once speech has text, in seconds."
    )
    knowledge_wait_s: float = Field(default=0.15, ge=0, le=5, description="Time a turn waits for passages, in seconds.")
    knowledge_debounce_s: float = Field(
        default=0.1, ge=0, le=2, description="Time a prefetch waits for a longer transcript, in seconds."
    )
    passages_max: int = Field(default=4, ge=1, le=20, description="Passages attached to a turn.")
    frame_age_s_max: float = Field(
        default=10, gt=0, le=600, description="Age up to which attach_newest_frame attaches a frame, in seconds."
    )
    frames_held_max: int = Field(default=4, ge=1, le=32, description="Kept frames held per room.")
    attach_newest_frame: bool = Field(
        default=False,
        description="Attach unused frames also to turns that do not refer to anything visible.",
    )
    history_items_max: int = Field(
        default=200, ge=4, le=900, description="Chat items sent to the model, besides the instructions."
    )
    slot_ttl_s: float = Field(
        default=60, ge=5, le=3600, description="Time after which a room's slot expires unless renewed, in seconds."
    )
    session_ttl_s: float = Field(
        default=3600,
        ge=60,
        le=86_400,
        description="Time after the last turn at which session state expires, in seconds.",
    )
    backend_timeout_s: float = Field(
        default=2, gt=0, le=30, description="Timeout of an attempt to call the backend, in seconds."
    )
    turn_topic: str = Field(
        default="hocket.turn", max_length=64, description="LiveKit text topic of turn summaries; empty sends none."
    )
    agent_sample_rate_hz: Literal[16000, 24000, 48000] = Field(
        default=24000, description="Sample rate of the agent's voice, in Hz."
    )

    @model_validator(mode="after")
    def _safe_livekit(self) -> Self:
        if urlsplit(self.livekit_url).scheme not in {"ws", "wss"}:
            raise ValueError(f"livekit_url is {self.livekit_url!r}; it must start with ws:// or wss://")
        host = urlsplit(self.livekit_url).hostname or ""
        if self.livekit_api_secret.get_secret_value() == _DEV_SECRET and not is_loopback(host):
            raise ValueError(
                f"livekit_api_secret is the development secret, but {host} is not loopback; set the server's own secret"
            )
        if not self.has_key and not is_loopback(self.http_host):
            raise ValueError(
                f"http_host {self.http_host} is not loopback and no key is set; set jwt_secret, jwks_url or jwks_file"
            )
        if self.has_key and not self.jwt_secret and not self.mesh_key_file:
            raise ValueError("set mesh_key_file: without jwt_secret the gateway has no key to sign tokens for the mesh")
        return self

    def mesh_key(self) -> MeshKey | None:
        """Return the key that signs tokens for the other services, or None where no key is configured."""
        if self.mesh_key_file:
            pem = self.mesh_key_file.read_text(encoding="utf-8")
            return MeshKey(pem, self.mesh_key_algorithm, self.mesh_key_id, self.jwt_issuer or "hocket")
        if self.jwt_secret:
            return MeshKey(self.jwt_secret.get_secret_value(), issuer=self.jwt_issuer or "hocket")
        return None

    def peers(self) -> Peers:
        """Return the addresses of the other services and stores."""
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
        """Return the limits of a session."""
        return SessionLimits(**{name: getattr(self, name) for name in SessionLimits.__dataclass_fields__})

    def room_config(self) -> RoomConfig:
        """Return the configuration of the room operations."""
        return RoomConfig(
            livekit_url=self.livekit_public_url or self.livekit_url,
            token_ttl_s=self.token_ttl_s,
            agent_join_timeout_s=self.agent_join_timeout_s,
            dispatch=DispatchRule(self.dispatch_grace_s, self.dispatch_grace_s_max),
        )

    def worker_config(self) -> WorkerConfig:
        """Return the configuration of the LiveKit worker."""
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
        """Return the configuration of a room's process.

        Args:
            report_path: Unix socket for its turn reports.
        """
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
        """Return the verifier of the HTTP API's callers; it uses the keys of the gRPC port."""
        return TokenVerifier(
            secret=self.jwt_secret.get_secret_value() if self.jwt_secret else None,
            jwks_url=self.jwks_url,
            jwks_file=self.jwks_file,
            issuer=self.jwt_issuer,
        )

    def local_identity(self) -> Identity | None:
        """Return the identity of all callers where no key is configured (allowed on loopback only), or else None."""
        return None if self.has_key else LOCAL_IDENTITY
