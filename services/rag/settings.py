"""Settings of the rag service, read from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from hocket.chassis import settings as chassis
from hocket.chassis.settings import PostgresUrl, RedisUrl, ServerSettings
from services.rag.embedding.prices import price_micro_usd

_DIMENSIONS = (256, 512, 1024, 2048)


class MigrationSettings(chassis.MigrationSettings):
    """Settings of `hocket-rag migrate`."""

    model_config = SettingsConfigDict(env_prefix="HOCKET_RAG_")


class Settings(ServerSettings):
    """Settings of the rag service, HOCKET_RAG_*."""

    model_config = SettingsConfigDict(env_prefix="HOCKET_RAG_", frozen=True, extra="ignore", hide_input_in_errors=True)
    files_written = frozenset({"cost_journal_file"})
    command_settings = frozenset(chassis.MigrationSettings.model_fields)

    postgres_url: PostgresUrl = Field(
        default=SecretStr("postgresql://hocket_app@127.0.0.1:5432/hocket"),
        description="Postgres with pgvector, as the role of the service (neither superuser nor BYPASSRLS).",
    )
    postgres_connections_max: int = Field(default=10, ge=1, le=100, description="Connections to Postgres, at most.")
    statement_timeout_s: float = Field(default=10, gt=0, le=300, description="Timeout of a statement, in seconds.")
    redis_url: RedisUrl | None = Field(
        default=None, description="Redis that caches query vectors for all replicas; unset caches them in the process."
    )
    voyage_api_key: SecretStr | None = Field(
        default=None,
        description="API key of Voyage AI. Unset: search is lexical, and vectors are hashes without meaning.",
    )
    voyage_model: str = Field(
        default="voyage-4-lite",
        min_length=1,
        max_length=100,
        description="Voyage model of queries and documents; after a change ingest all documents again.",
    )
    voyage_dimensions: int = Field(
        default=1024, ge=256, le=2048, description="Dimensions of a vector: 256, 512, 1024 or 2048."
    )
    voyage_timeout_s: float = Field(default=10, gt=0, le=300, description="Timeout of a call to Voyage, in seconds.")
    voyage_price_micro_usd_per_million_tokens: int | None = Field(
        default=None,
        ge=0,
        description="Price of a million tokens in micro-USD; unset means the list price.",
    )
    ratelimit_target: str | None = Field(
        default=None,
        description="gRPC target of the ratelimit service; unset: no query limit and no recorded costs.",
    )
    cost_journal_file: Path | None = Field(
        default=None,
        description="File that keeps cost events until they are recorded, also through a crash; one file per process."
        " Unset keeps them in memory.",
    )
    search_budget_s: float = Field(
        default=0.3, gt=0, le=30, description="Budget of a search that sets none, in seconds."
    )
    passage_bytes_max: int = Field(
        default=1000,
        ge=200,
        le=8000,
        description="Largest passage in bytes of UTF-8; after a change ingest all documents again.",
    )

    @field_validator("voyage_dimensions")
    @classmethod
    def _offered(cls, dimensions: int) -> int:
        if dimensions not in _DIMENSIONS:
            raise ValueError(f"must be one of {', '.join(map(str, _DIMENSIONS))}")
        return dimensions

    @model_validator(mode="after")
    def _priced(self) -> Self:
        if self.voyage_api_key:
            _ = self.voyage_price_micro_usd
        return self

    @property
    def voyage_price_micro_usd(self) -> int:
        """Price of a million tokens in micro-USD. Raises ValueError if the model has no list price and none is set."""
        return price_micro_usd(self.voyage_model, self.voyage_price_micro_usd_per_million_tokens)
