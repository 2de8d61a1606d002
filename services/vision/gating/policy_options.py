"""The numbers of the policies, within their bounds, and what a caller may change of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from hocket.chassis.errors import invalid_field
from services.vision.gating.verdict import Policy

CELLS = 4096  # 64x64
NEVER_S = float("inf")
BUSY_STRETCHED_S_MAX = 0.4
UPLOAD_CREDIT_S_MAX = 2.0
SUSTAINED_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """Every number a policy uses; bits of Hamming distance, levels of 0 to 255, cells of 4096, seconds."""

    hash_threshold_bits: int = 10
    cell_threshold_levels: int = 8
    changed_cells_min: int = 1
    noise_floor_levels: int = 3
    cut_share: float = 0.25
    busy_interval_s: float = 0.25
    # JPEG of one track, over time: where kept frames are so large that busy_interval_s would bring more, it
    # stretches, to BUSY_STRETCHED_S_MAX at most. A quiet track saves up to UPLOAD_CREDIT_S_MAX of the budget.
    upload_budget_mbit_s: float = 3.3
    settle_interval_s: float = 0.1
    # A change of fewer cells than a word takes (a caret, the second hand of a clock) is kept no more often than this.
    minor_cells_max: int = 3
    minor_interval_s: float = 0.5
    # A picture that was kept in motion is kept once more after this long without a change: video encoders send it
    # blurred at first and refine it when nothing moves, which hardly moves the mean of a cell and makes text readable.
    sharpen_interval_s: float = 0.5
    refresh_interval_s: float = 10.0
    timer_interval_s: float = 0.25
    # economy: share of the cells x seconds that may be hidden, and the longest a change may be.
    economy_budget_share_s: float = 0.04
    economy_interval_s: float = 1.0
    active_interval_s: float = 1 / 30
    # A picture that has changed without rest for SUSTAINED_AFTER_S hides nothing between two frames of this pace.
    sustained_interval_s: float = 1 / 15
    idle_interval_s: float = 0.2
    # The active pace holds for this long after the last change.
    active_hold_s: float = 1.0


# Least and greatest value of each number that a request may change.
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
# Named so in the contract too, because the numbers are a share times seconds and a rate.
_NO_DURATION = frozenset({"economy_budget_share_s", "upload_budget_mbit_s"})
_WHOLE = frozenset(f.name for f in fields(PolicyOptions) if f.type == "int")
_HASHES = frozenset({Policy.PHASH, Policy.DHASH, Policy.AHASH})


def options_for(policy: Policy, defaults: PolicyOptions, changes: Mapping[str, float]) -> PolicyOptions:
    """The rules of one stream. Raises InvalidArgument naming `config.options.<field>` for a number out of bounds."""
    for name, value in changes.items():
        least, greatest = BOUNDS[name]
        if not least <= value <= greatest:
            timed = name.endswith("_s") and name not in _NO_DURATION
            path = f"config.options.{name.removesuffix('_s') if timed else name}"
            unit = " s" if timed else ""
            raise invalid_field(path, f"is {value:g}{unit}; must be {least:g} to {greatest:g}{unit}")
    # The plan's rule has no refresh: it stays as it was unless the caller asks for one.
    bare = policy in _HASHES or policy is Policy.TIMER
    start = replace(defaults, refresh_interval_s=NEVER_S) if bare else defaults
    values: dict[str, Any] = {name: int(value) if name in _WHOLE else value for name, value in changes.items()}
    return replace(start, **values)
