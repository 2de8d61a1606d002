"""Settings of the ratelimit service, read from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from hocket.chassis import settings as chassis
from hocket.chassis.settings import PostgresUrl, RedisUrl, ServerSettings
from services.ratelimit.limits.limit_file import parse_limit_file
from services.ratelimit.limits.limit_table import LimitTable

DEFAULT_LIMITS = Path(__file__).parent / "limits" / "default_limits.toml"


class MigrationSettings(chassis.MigrationSettings):
    """Settings of `hocket-ratelimit migrate`."""

    model_config = SettingsConfigDict(env_prefix="HOCKET_RATELIMIT_")


class Settings(ServerSettings):
    """Environment variables HOCKET_RATELIMIT_*."""

    model_config = SettingsConfigDict(env_prefix="HOCKET_RATELIMIT_")
    command_settings = frozenset(chassis.MigrationSettings.model_fields)

    redis_url: RedisUrl = Field(
        default=SecretStr("redis://127.0.0.1:6379/0"),
        description="Redis that all replicas share (redis:// or rediss://). Unset: redis://127.0.0.1:6379/0.",
    )
    redis_cluster: bool = Field(
        default=False, description="Whether Redis is a Redis Cluster; the URL then names any of its nodes."
    )
    redis_timeout_s: float = Field(
        default=0.04,
        gt=0,
        le=5,
        description="Timeout of a call to Redis, in seconds; then the decision is made locally and marked degraded.",
    )
    redis_connections_max: int = Field(
        default=64, ge=1, le=1000, description="Connections to Redis, or to each node of a cluster, at most."
    )
    breaker_failures_max: int = Field(
        default=3,
        ge=1,
        le=100,
        description="Consecutive failures of Redis that open the circuit breaker: Redis is not called for a while.",
    )
    breaker_open_s: float = Field(
        default=1.0,
        gt=0,
        le=60,
        description="Seconds that the circuit breaker stays open before one call probes Redis.",
    )
    replicas_expected: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="Replicas of this service; while Redis is unavailable each one admits its share of every limit.",
    )
    limits_file: Path | None = Field(
        default=None,
        description="TOML file of limits that override the default ones by name (limits/default_limits.toml).",
    )
    postgres_url: PostgresUrl = Field(
        default=SecretStr("postgresql://hocket_app@127.0.0.1:5432/hocket"),
        description="Postgres of the ledger, as the role of the service (neither superuser nor BYPASSRLS). "
        "Unset: postgresql://hocket_app@127.0.0.1:5432/hocket.",
    )
    postgres_connections_max: int = Field(default=10, ge=1, le=100, description="Connections to Postgres, at most.")

    @field_validator("limits_file")
    @classmethod
    def _readable(cls, path: Path | None) -> Path | None:
        if path is not None:
            try:
                parse_limit_file(path.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError) as error:
                raise ValueError(f"cannot read {path}: {error}") from error
        return path

    def limit_table(self) -> LimitTable:
        """Return the default limits, overridden by name by those of the limits file."""
        table = parse_limit_file(DEFAULT_LIMITS.read_text(encoding="utf-8"))
        return (
            parse_limit_file(self.limits_file.read_text(encoding="utf-8")).with_defaults(table)
            if self.limits_file
            else table
        )
