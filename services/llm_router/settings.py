"""What the router can be told by its environment."""

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

    message_bytes_max: int = Field(
        default=16 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024, description="Largest message, in bytes."
    )
    tiers_file: Path | None = Field(
        default=None, description="TOML file of tiers, models and prices, read again on change; unset: the shipped one."
    )
    tiers_refresh_s: float = Field(
        default=2, gt=0, le=3600, description="How often the tiers file is looked at, in seconds."
    )
    mix_mode: Literal["share", "cap", "quality"] = Field(
        default="share",
        description="How the shares of tiers are held, where neither the request nor the tiers file says.",
    )
    embedded: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Whether the embedded answerer may answer; auto: only while no vendor is configured.",
    )
    anthropic_api_key: SecretStr | None = Field(default=None, description="Key of Anthropic's API.")
    anthropic_base_url: str | None = Field(default=None, description="Another address of Anthropic's API.")
    gemini_api_key: SecretStr | None = Field(default=None, description="Key of Google's Gemini API.")
    gemini_base_url: str | None = Field(default=None, description="Another address of the Gemini API.")
    openai_base_url: str | None = Field(
        default=None,
        description="Address of a server with the OpenAI chat API, ending in /v1 (vLLM, Ollama, llama.cpp).",
    )
    openai_api_key: SecretStr | None = Field(default=None, description="Key of that server, where it asks for one.")
    openai_model: str | None = Field(default=None, description="Name of the model at that server.")
    redis_url: RedisUrl | None = Field(
        default=None, description="Redis that replicas share mixes, conversations and breakers through; unset: none."
    )
    ratelimit_target: str | None = Field(
        default=None, description="gRPC target of the ratelimit service; unset: nothing is limited or booked."
    )
    cost_journal_file: Path | None = Field(
        default=None,
        description="File, one for each process, where costs outlive it until they are booked; unset: in memory alone.",
    )
    budget_micro_usd_per_day: int = Field(
        default=0,
        ge=0,
        description="What a tenant may spend a day (UTC), in millionths of a US dollar, where the tiers file does not"
        " say; from 80 % on it gets the simple tier, at 100 % it is refused. 0: no budget.",
    )
    answers_per_tenant_max: int = Field(
        default=250, ge=1, le=100_000, description="Answers of one tenant that run at once on this server."
    )
    outcomes_file: Path | None = Field(
        default=None,
        description="File that features and outcomes of turns are kept in, for `hocket-llm-router fit`; unset: none.",
    )
    weights_file: Path | None = Field(
        default=None,
        description="Weights of the scorer, as `hocket-llm-router fit` wrote them; unset: the shipped ones.",
    )
    first_token_timeout_s: float = Field(
        default=3,
        gt=0,
        le=120,
        description="Longest wait for the first text or tool call of the first attempt, in seconds.",
    )
    fallback_first_token_timeout_s: float = Field(
        default=5, gt=0, le=120, description="The same for later attempts, whose model is cold, in seconds."
    )
    between_tokens_timeout_s: float = Field(
        default=5, gt=0, le=120, description="Longest wait between two pieces of an answer, in seconds."
    )
    attempt_timeout_s: float = Field(default=120, gt=0, le=3600, description="Longest attempt as a whole, in seconds.")

    @field_validator("tiers_file")
    @classmethod
    def _readable(cls, path: Path | None) -> Path | None:
        """A wrong table is refused before the service starts, and by --check-config."""
        if path is not None:
            try:
                parse_tiers(path.read_text("utf-8"), str(path))
            except OSError as error:
                raise ValueError(f"cannot read {path}: {error.strerror}") from error
        return path

    @field_validator("weights_file")
    @classmethod
    def _weights(cls, path: Path | None) -> Path | None:
        """So are weights that are none; a file that `fit` has not written yet is no mistake."""
        open_scorer(path)
        return path

    @field_validator("anthropic_base_url", "gemini_base_url", "openai_base_url")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        """What no request could be sent to; empty is as good as unset."""
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
        # A port that is no number, or half an IPv6 address.
        return False
    return whole and not (parts.username or parts.query or parts.fragment or any(map(str.isspace, url)))


def reveal(secret: SecretStr | None) -> str | None:
    """The secret itself, for whoever must use it."""
    return secret.get_secret_value() if secret else None


def vendor_access(settings: Settings) -> dict[str, str | None]:
    """Keys and addresses of the vendors, by the names of `VendorAccess`."""
    return {
        "anthropic_api_key": reveal(settings.anthropic_api_key),
        "anthropic_base_url": settings.anthropic_base_url,
        "gemini_api_key": reveal(settings.gemini_api_key),
        "gemini_base_url": settings.gemini_base_url,
        "openai_base_url": settings.openai_base_url,
        "openai_api_key": reveal(settings.openai_api_key),
    }
