"""Settings of the router, read from HOCKET_LLM_ROUTER_* variables."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from hocket.chassis.settings import RedisUrl, ServerSettings
from services.llm_router.adapters.files.outcome_log import open_scorer
from services.llm_router.catalog.toml_file import parse_tiers


class Settings(ServerSettings):
    """Settings of the router, each HOCKET_LLM_ROUTER_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="HOCKET_LLM_ROUTER_")
    files_written = frozenset({"cost_journal_file", "outcomes_file"})
    # Missing until `fit` has written it.
    files_optional = frozenset({"weights_file"})

    message_bytes_max: int = Field(
        default=16 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024, description="Largest gRPC message, in bytes."
    )
    tiers_file: Path | None = Field(
        default=None, description="TOML file of tiers, models and prices, reloaded on change; unset: the shipped one."
    )
    tiers_refresh_s: float = Field(
        default=2, gt=0, le=3600, description="Interval between checks of the tiers file, in seconds."
    )
    mix_mode: Literal["share", "cap", "quality"] = Field(
        default="share",
        description="Mix mode of requests without one, for tenants without one in the tiers file.",
    )
    embedded: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Use of the embedded answerer; auto: only while no vendor is configured.",
    )
    anthropic_api_key: SecretStr | None = Field(default=None, description="API key of Anthropic.")
    anthropic_base_url: str | None = Field(
        default=None, description="Base URL of Anthropic's API; unset: the vendor's."
    )
    gemini_api_key: SecretStr | None = Field(default=None, description="API key of Google's Gemini API.")
    gemini_base_url: str | None = Field(default=None, description="Base URL of the Gemini API; unset: the vendor's.")
    openai_base_url: str | None = Field(
        default=None,
        description="Base URL of a server with the OpenAI chat API, ending in /v1 (vLLM, Ollama, llama.cpp).",
    )
    openai_api_key: SecretStr | None = Field(
        default=None, description="API key of the OpenAI-compatible server, if it needs one."
    )
    openai_model: str | None = Field(default=None, description="Model name on the OpenAI-compatible server.")
    redis_url: RedisUrl | None = Field(
        default=None, description="Redis for tier mixes, sessions and breakers shared by replicas; unset: not shared."
    )
    ratelimit_target: str | None = Field(
        default=None, description="gRPC target of the ratelimit service; unset: no rate limits, no cost ledger."
    )
    cost_journal_file: Path | None = Field(
        default=None,
        description="Journal file of unrecorded costs, one for each process; unset: kept in memory only.",
    )
    budget_micro_usd_per_day: int = Field(
        default=0,
        ge=0,
        description="Budget of a tenant for a day (UTC), in micro-USD, where the tiers file has none; from 80 % on the"
        " tenant gets the simple tier, at 100 % it is refused. 0: unlimited.",
    )
    answers_per_tenant_max: int = Field(
        default=250, ge=1, le=100_000, description="Maximum of concurrent answers of one tenant on this server."
    )
    outcomes_file: Path | None = Field(
        default=None,
        description="File of features and outcomes of turns, input of `hocket-llm-router fit`; unset: not recorded.",
    )
    weights_file: Path | None = Field(
        default=None,
        description="Scorer weights written by `hocket-llm-router fit`; unset: the shipped ones.",
    )
    first_token_timeout_s: float = Field(
        default=3,
        gt=0,
        le=120,
        description="Timeout of the first output (text or tool call) of the first attempt, in seconds.",
    )
    fallback_first_token_timeout_s: float = Field(
        default=5, gt=0, le=120, description="Timeout of the first output of later attempts, in seconds."
    )
    between_tokens_timeout_s: float = Field(
        default=5, gt=0, le=120, description="Timeout between two pieces of output, in seconds."
    )
    attempt_timeout_s: float = Field(default=120, gt=0, le=3600, description="Timeout of a whole attempt, in seconds.")

    @field_validator("tiers_file")
    @classmethod
    def _readable(cls, path: Path | None) -> Path | None:
        """Reject an invalid table before the service starts, and in --check-config."""
        if path is not None:
            try:
                parse_tiers(path.read_text("utf-8"), str(path))
            except OSError as error:
                raise ValueError(f"cannot read {path}: {error.strerror}") from error
        return path

    @field_validator("weights_file")
    @classmethod
    def _weights(cls, path: Path | None) -> Path | None:
        """Reject invalid weights; a file that `fit` has not written yet is accepted."""
        open_scorer(path)
        return path

    @field_validator("anthropic_base_url", "gemini_base_url", "openai_base_url")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        """Reject URLs that cannot be called; empty counts as unset."""
        if url and not _is_http(url):
            raise ValueError("must be a URL like https://host:8080/v1, without a user, a query or a fragment")
        return url

    @model_validator(mode="after")
    def _model_named(self) -> Self:
        if self.openai_base_url and not self.openai_model:
            raise ValueError("openai_base_url needs openai_model, the name of the model at that server")
        return self


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        # A non-numeric port, or an incomplete IPv6 address.
        return False
    return whole and not (parts.username or parts.query or parts.fragment or any(map(str.isspace, url)))


def reveal(secret: SecretStr | None) -> str | None:
    """Return the plain text of a secret."""
    return secret.get_secret_value() if secret else None


def vendor_access(settings: Settings) -> dict[str, str | None]:
    """Return keys and base URLs of vendors, keyed by the fields of `VendorAccess`."""
    return {
        "anthropic_api_key": reveal(settings.anthropic_api_key),
        "anthropic_base_url": settings.anthropic_base_url,
        "gemini_api_key": reveal(settings.gemini_api_key),
        "gemini_base_url": settings.gemini_base_url,
        "openai_base_url": settings.openai_base_url,
        "openai_api_key": reveal(settings.openai_api_key),
    }
