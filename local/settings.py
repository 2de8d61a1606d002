"""Settings of `hocket-local`, read from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings with the prefix HOCKET_LOCAL_. Settings of services pass through under their own names."""

    model_config = SettingsConfigDict(env_prefix="HOCKET_LOCAL_", frozen=True, extra="ignore")

    data_dir: Path = Field(
        default=Path(".hocket"), description="Folder of data, secrets and logs; `make clean` removes it."
    )
    port_base: int = Field(
        default=0, ge=0, le=65_000, description="First of 32 consecutive ports; 0 picks a free block."
    )
    tenant_id: str = Field(
        default="demo",
        min_length=1,
        max_length=64,
        description="Tenant of the token that `up`, `status` and `env` print.",
    )
