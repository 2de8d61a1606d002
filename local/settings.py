"""What the mesh on one machine can be told, from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings of `hocket-local`. Those of the services pass through it under their own names."""

    model_config = SettingsConfigDict(env_prefix="HOCKET_LOCAL_", frozen=True, extra="ignore")

    data_dir: Path = Field(
        default=Path(".hocket"), description="Folder of data, secrets and logs; `make clean` removes it."
    )
    port_base: int = Field(
        default=0, ge=0, le=65_000, description="First of 32 neighbouring ports to use; 0 finds a free block."
    )
    tenant_id: str = Field(default="demo", min_length=1, max_length=64, description="Tenant of the token to try.")
