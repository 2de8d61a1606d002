"""What this service can be told by its environment."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from hocket.chassis.settings import ServerSettings
from services.vision.gating.policy_options import BOUNDS, PolicyOptions

_DEFAULTS = PolicyOptions()


def _number(name: str, description: str) -> Any:
    """A number of the policies that a request may change too: same default, same bounds."""
    least, greatest = BOUNDS[name]
    return Field(default=getattr(_DEFAULTS, name), ge=least, le=greatest, description=description)


class Settings(ServerSettings):
    """HOCKET_VISION_*."""

    model_config = SettingsConfigDict(env_prefix="HOCKET_VISION_")

    redis_url: SecretStr | None = Field(
        default=None,
        description="Redis for keyframes and shared counts; unset keeps both in this process, for one server alone.",
    )
    redis_timeout_s: float = Field(default=0.25, gt=0, le=10, description="Longest wait for Redis, in seconds.")
    keyframes_per_track: int = Field(default=8, ge=1, le=32, description="Kept frames remembered of each track.")
    keyframe_ttl_s: float = Field(default=600, gt=0, le=86_400, description="Life of a remembered frame, in seconds.")
    stats_share_interval_s: float = Field(
        default=1.0, gt=0, le=60, description="How often changed counts are shared with the other servers, in seconds."
    )
    stats_ttl_s: float = Field(
        default=86_400, ge=60, le=30 * 86_400, description="Life of a tenant's counts after its last frame, in seconds."
    )
    track_rows_ended_max: int = Field(
        default=4096, ge=1, le=1_000_000, description="Ended tracks whose own counts this server still remembers."
    )
    track_row_ttl_s: float = Field(
        default=3600,
        gt=0,
        le=86_400,
        description="How long an ended track has counts of its own, in seconds; then they go into the tenant's sum.",
    )
    tracks_per_stream_max: int = Field(default=512, ge=1, le=100_000, description="Tracks a stream holds state of.")
    tracks_max: int = Field(
        default=16_384, ge=1, le=1_000_000, description="Tracks this server holds state of, 10 KiB each."
    )
    tracks_per_tenant_max: int = Field(
        default=4096, ge=1, le=1_000_000, description="Of these, tracks of one tenant, so that none fills the server."
    )
    track_idle_s: float = Field(
        default=30, gt=0, le=86_400, description="Idle time after which a track gives way to a new one, in seconds."
    )
    unread_timeout_s: float = Field(
        default=30, gt=0, le=3600, description="Wait for a client that does not read its answers, in seconds."
    )
    image_pixels_max: int = Field(
        default=4096 * 4096, ge=1, le=8192 * 8192, description="Largest whole frame that is decoded, in pixels."
    )
    image_threads: int = Field(default=2, ge=1, le=64, description="Whole frames decoded at once.")

    hash_threshold_bits: int = _number(
        "hash_threshold_bits",
        "phash, dhash, ahash: a frame is new beyond this Hamming distance, in bits.",
    )
    cell_threshold_levels: int = _number(
        "cell_threshold_levels",
        "cells, economy: a cell changed beyond this difference, in levels of 255.",
    )
    changed_cells_min: int = _number("changed_cells_min", "cells, economy: cells of 4096 that make a changed picture.")
    noise_floor_levels: int = _number(
        "noise_floor_levels",
        "cells, economy: differences up to this are noise, in levels of 255.",
    )
    cut_share: float = _number("cut_share", "cells, economy: share of the cells that changes at once in a cut.")
    busy_interval_s: float = _number("busy_interval_s", "cells: seconds between kept frames while the picture changes.")
    upload_budget_mbit_s: float = _number(
        "upload_budget_mbit_s",
        "cells, economy: JPEG of a busy track beyond which frames are kept up to 0.4 s apart, in Mbit/s over time.",
    )
    settle_interval_s: float = _number(
        "settle_interval_s",
        "cells, economy: seconds without motion after which a change is kept.",
    )
    refresh_interval_s: float = _number(
        "refresh_interval_s",
        "cells, economy: age at which a still picture is refreshed, in seconds.",
    )
    minor_cells_max: int = _number("minor_cells_max", "cells, economy: changes of up to this many cells are minor.")
    minor_interval_s: float = _number("minor_interval_s", "cells, economy: seconds between kept minor changes.")
    sharpen_interval_s: float = _number(
        "sharpen_interval_s",
        "cells, economy: seconds without a change after which a picture kept in motion is kept once more.",
    )
    timer_interval_s: float = _number("timer_interval_s", "timer: seconds between kept frames.")
    economy_budget_share_s: float = _number(
        "economy_budget_share_s",
        "economy: share of the cells x seconds of change that may stay hidden.",
    )
    economy_interval_s: float = _number(
        "economy_interval_s",
        "economy: longest time that a change stays hidden, in seconds.",
    )
    active_interval_s: float = Field(
        default=_DEFAULTS.active_interval_s,
        ge=0.01,
        le=1,
        description="Seconds between frames wanted while something moves or speaks.",
    )
    sustained_interval_s: float = Field(
        default=_DEFAULTS.sustained_interval_s,
        ge=0.01,
        le=1,
        description="cells: seconds between frames wanted once a picture moved for a second without rest.",
    )
    idle_interval_s: float = Field(
        default=_DEFAULTS.idle_interval_s,
        ge=0.01,
        le=5,
        description="Seconds between frames wanted of a still picture.",
    )
    active_hold_s: float = Field(
        default=_DEFAULTS.active_hold_s,
        ge=0,
        le=60,
        description="Seconds after the last change for which the active pace holds.",
    )

    def rules(self) -> PolicyOptions:
        """The numbers of the policies."""
        numbers: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(PolicyOptions)}
        return PolicyOptions(**numbers)
