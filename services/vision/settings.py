"""Settings of this service, read from the environment."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from hocket.chassis.settings import RedisUrl, ServerSettings
from services.vision.gating.policy_options import BOUNDS, PolicyOptions

_DEFAULTS = PolicyOptions()


def _option(name: str, description: str) -> Any:
    """Return a field for an option that requests may override, with the default and the bounds of `PolicyOptions`."""
    least, greatest = BOUNDS[name]
    return Field(default=getattr(_DEFAULTS, name), ge=least, le=greatest, description=description)


class Settings(ServerSettings):
    """Settings `HOCKET_VISION_*`; units stand at the end of each name."""

    model_config = SettingsConfigDict(env_prefix="HOCKET_VISION_")

    redis_url: RedisUrl | None = Field(
        default=None,
        description="Redis for keyframes and shared counts; unset keeps both in this process, for a single server.",
    )
    redis_timeout_s: float = Field(default=0.25, gt=0, le=10, description="Timeout of each Redis call, in seconds.")
    keyframes_per_track: int = Field(default=8, ge=1, le=32, description="Keyframes stored per track.")
    keyframe_ttl_s: float = Field(default=600, gt=0, le=86_400, description="Life of a stored keyframe, in seconds.")
    stats_share_interval_s: float = Field(
        default=1.0, gt=0, le=60, description="Interval at which changed counts are published, in seconds."
    )
    stats_ttl_s: float = Field(
        default=86_400, ge=60, le=30 * 86_400, description="Life of a tenant's counts after its last frame, in seconds."
    )
    track_rows_ended_max: int = Field(
        default=4096, ge=1, le=1_000_000, description="Ended tracks with counts of their own on this server."
    )
    track_row_ttl_s: float = Field(
        default=3600,
        gt=0,
        le=86_400,
        description="Life of an ended track's own counts, in seconds; then they count only in the tenant's sum.",
    )
    tracks_per_stream_max: int = Field(default=512, ge=1, le=100_000, description="Most tracks of one stream.")
    tracks_max: int = Field(
        default=16_384, ge=1, le=1_000_000, description="Most tracks of this server; each takes 10 KiB."
    )
    tracks_per_tenant_max: int = Field(
        default=4096, ge=1, le=1_000_000, description="Most tracks of one tenant on this server."
    )
    track_idle_s: float = Field(
        default=30, gt=0, le=86_400, description="Idle time after which a track is evicted, in seconds."
    )
    unread_timeout_s: float = Field(
        default=30,
        gt=0,
        le=3600,
        description="Longest wait for a client to read a response, in seconds; then its stream is cancelled.",
    )
    image_pixels_max: int = Field(
        default=4096 * 4096, ge=1, le=8192 * 8192, description="Largest whole frame that is decoded, in pixels."
    )
    image_threads: int = Field(default=2, ge=1, le=64, description="Threads that decode whole frames.")

    hash_threshold_bits: int = _option(
        "hash_threshold_bits",
        "phash, dhash, ahash: a frame is new above this Hamming distance, in bits.",
    )
    cell_threshold_levels: int = _option(
        "cell_threshold_levels",
        "cells, economy: a cell changed above this difference, in levels (0 to 255).",
    )
    changed_cells_min: int = _option(
        "changed_cells_min", "cells, economy: least number of changed cells, of 4096, in a changed picture."
    )
    noise_floor_levels: int = _option(
        "noise_floor_levels",
        "cells, economy: largest difference to the previous frame that is no motion, in levels (0 to 255).",
    )
    cut_share: float = _option(
        "cut_share", "cells, economy: least share of the cells that changes at once in a cut, 0 to 1."
    )
    busy_interval_s: float = _option(
        "busy_interval_s", "cells: interval between keyframes while the picture changes, in seconds."
    )
    upload_budget_mbit_s: float = _option(
        "upload_budget_mbit_s",
        "cells, economy: JPEG rate of a track above which its keyframes move apart, up to 0.4 s, in Mbit/s.",
    )
    settle_interval_s: float = _option(
        "settle_interval_s",
        "cells, economy: time without motion after which a change is kept, in seconds.",
    )
    refresh_interval_s: float = _option(
        "refresh_interval_s",
        "cells, economy: age of a keyframe at which it is refreshed, in seconds.",
    )
    minor_cells_max: int = _option("minor_cells_max", "cells, economy: most changed cells of a minor change.")
    minor_interval_s: float = _option(
        "minor_interval_s", "cells, economy: least interval between keyframes of minor changes, in seconds."
    )
    sharpen_interval_s: float = _option(
        "sharpen_interval_s",
        "cells, economy: age at which a keyframe taken in motion is replaced by a refined one, in seconds.",
    )
    timer_interval_s: float = _option("timer_interval_s", "timer: interval between keyframes, in seconds.")
    economy_budget_share_s: float = _option(
        "economy_budget_share_s",
        "economy: largest hidden change, as share of the cells x seconds.",
    )
    economy_interval_s: float = _option(
        "economy_interval_s",
        "economy: longest time for which a change stays hidden, in seconds.",
    )
    active_interval_s: float = Field(
        default=_DEFAULTS.active_interval_s,
        ge=0.01,
        le=1,
        description="Interval between wanted frames after a change and during speech, in seconds.",
    )
    sustained_interval_s: float = Field(
        default=_DEFAULTS.sustained_interval_s,
        ge=0.01,
        le=1,
        description="cells: interval between wanted frames after one second of motion without a rest, in seconds.",
    )
    idle_interval_s: float = Field(
        default=_DEFAULTS.idle_interval_s,
        ge=0.01,
        le=5,
        description="Interval between wanted frames of a still picture, in seconds.",
    )
    active_hold_s: float = Field(
        default=_DEFAULTS.active_hold_s,
        ge=0,
        le=60,
        description="Duration of the active interval after the last change, in seconds.",
    )

    def policy_options(self) -> PolicyOptions:
        """Return the options of the policies."""
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(PolicyOptions)}
        return PolicyOptions(**values)
