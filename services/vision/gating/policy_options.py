"""Thresholds and intervals of the policies, their bounds, and the overrides that a request may carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from hocket.chassis.errors import invalid_field
from services.vision.gating.verdict import Policy

CELLS = 4096  # 64x64
NEVER_S = float("inf")
# Longest interval between keyframes of a changing picture while its track exceeds the upload budget.
BUSY_STRETCHED_S_MAX = 0.4
# Unused upload budget that a quiet track accumulates, in seconds of the budget.
UPLOAD_CREDIT_S_MAX = 2.0
# Motion without a rest for this long switches the track to `sustained_interval_s`.
SUSTAINED_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """Thresholds and intervals of all policies.

    Units stand at the end of each name: bits of Hamming distance (0 to 64), levels (0 to 255), cells (0 to 4096),
    seconds. A `share` is a fraction of all cells, 0 to 1.
    """

    hash_threshold_bits: int = 10
    cell_threshold_levels: int = 8
    changed_cells_min: int = 1
    noise_floor_levels: int = 3
    cut_share: float = 0.25
    busy_interval_s: float = 0.25
    # Rate of JPEG bytes per track, averaged over time. Keyframes too large for it stretch busy_interval_s, up to
    # BUSY_STRETCHED_S_MAX.
    upload_budget_mbit_s: float = 3.3
    settle_interval_s: float = 0.1
    # Changes smaller than a word (a caret, the second hand of a clock) are rate-limited by minor_interval_s.
    minor_cells_max: int = 3
    minor_interval_s: float = 0.5
    # Video encoders send a moving picture blurred and refine it once it rests. The refinement hardly moves the mean of
    # a cell and makes text readable, so a keyframe taken in motion is followed by one of the resting picture.
    sharpen_interval_s: float = 0.5
    refresh_interval_s: float = 10.0
    timer_interval_s: float = 0.25
    # economy: bounds of a hidden change, as share of the cells x seconds and as seconds.
    economy_budget_share_s: float = 0.04
    economy_interval_s: float = 1.0
    active_interval_s: float = 1 / 30
    sustained_interval_s: float = 1 / 15
    idle_interval_s: float = 0.2
    # Duration of the active interval after the last change.
    active_hold_s: float = 1.0


# Least and greatest value of each option that a request may override.
BOUNDS: Mapping[str, tuple[float, float]] = {
    "hash_threshold_bits": (0, 64),
    "cell_threshold_levels": (1, 128),
    "changed_cells_min": (1, CELLS),
    "noise_floor_levels": (0, 64),
    "cut_share": (0.01, 1),
    "busy_interval_s": (0.03, 10),
    "settle_interval_s": (0.03, 5),
    "upload_budget_mbit_s": (0.1, 1000),
    "refresh_interval_s": (0.5, 3600),
    "timer_interval_s": (0.03, 60),
    "minor_cells_max": (0, CELLS),
    "minor_interval_s": (0.03, 60),
    "sharpen_interval_s": (0.03, 60),
    "economy_interval_s": (0.1, 60),
    "economy_budget_share_s": (0.001, 10),
}
# Doubles in vision.proto as well: a share times seconds, and a rate. Other names in `_s` are Durations there.
_NO_DURATION = frozenset({"economy_budget_share_s", "upload_budget_mbit_s"})
_INTEGERS = frozenset(f.name for f in fields(PolicyOptions) if f.type == "int")
_WITHOUT_REFRESH = frozenset({Policy.PHASH, Policy.DHASH, Policy.AHASH, Policy.TIMER})


def options_for(policy: Policy, defaults: PolicyOptions, overrides: Mapping[str, float]) -> PolicyOptions:
    """Return the options of one stream.

    Hash and timer policies refresh only where `overrides` sets a refresh interval.

    Args:
        policy: Policy of the stream.
        defaults: Options of the server.
        overrides: Options that the request sets, by field name of `PolicyOptions`; times in seconds.

    Returns:
        `defaults` with the overrides applied.

    Raises:
        InvalidArgument: A value is out of bounds; names `config.options.<field>`.
    """
    for name, value in overrides.items():
        _check_bounds(name, value)
    start = replace(defaults, refresh_interval_s=NEVER_S) if policy in _WITHOUT_REFRESH else defaults
    values: dict[str, Any] = {name: int(value) if name in _INTEGERS else value for name, value in overrides.items()}
    return replace(start, **values)


def _check_bounds(name: str, value: float) -> None:
    least, greatest = BOUNDS[name]
    if not least <= value <= greatest:
        is_duration = name.endswith("_s") and name not in _NO_DURATION
        path = f"config.options.{name.removesuffix('_s') if is_duration else name}"
        unit = " s" if is_duration else ""
        raise invalid_field(path, f"is {value:g}{unit}; must be {least:g} to {greatest:g}{unit}")
