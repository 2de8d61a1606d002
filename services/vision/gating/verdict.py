"""Types of a decision: policy, verdict, cause, and the wait before the next frame."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Policy(Enum):
    """Rule that selects keyframes; values name it in metrics."""

    CELLS = "cells"
    PHASH = "phash"
    DHASH = "dhash"
    AHASH = "ahash"
    ECONOMY = "economy"
    TIMER = "timer"


class Verdict(Enum):
    """Action for a frame; KEEP and REFRESH make it a keyframe."""

    KEEP = "keep"
    SKIP = "skip"
    REFRESH = "refresh"


class Cause(Enum):
    """Reason of a verdict; `Cause` in vision.proto describes each value."""

    FIRST = "first"
    DISTANCE = "distance"
    CUT = "cut"
    SETTLED = "settled"
    BUSY = "busy"
    STALE = "stale"
    UNCHANGED = "unchanged"
    SETTLING = "settling"
    TIMER = "timer"
    PACED = "paced"


@dataclass(frozen=True, slots=True, eq=False)
class Ruling:
    """Verdict with its cause. The instances below are the only ones, so comparison and hashing go by identity."""

    verdict: Verdict
    cause: Cause


class Decision(NamedTuple):
    """Result for one frame.

    Attributes:
        ruling: Verdict and cause.
        distance_bits: Hamming distance to the last keyframe, 0 to 64; 0 for policies without a hash.
        cells_changed: Thumbnail cells that differ from the last keyframe, 0 to 4096; 0 for policies without cells.
        next_frame_in_s: Wait before the next frame of the track is wanted, in seconds, at least 0.
    """

    ruling: Ruling
    distance_bits: int
    cells_changed: int
    next_frame_in_s: float


FIRST = Ruling(Verdict.KEEP, Cause.FIRST)
DISTANCE = Ruling(Verdict.KEEP, Cause.DISTANCE)
CUT = Ruling(Verdict.KEEP, Cause.CUT)
SETTLED = Ruling(Verdict.KEEP, Cause.SETTLED)
BUSY = Ruling(Verdict.KEEP, Cause.BUSY)
TIMER = Ruling(Verdict.KEEP, Cause.TIMER)
STALE = Ruling(Verdict.REFRESH, Cause.STALE)
UNCHANGED = Ruling(Verdict.SKIP, Cause.UNCHANGED)
SETTLING = Ruling(Verdict.SKIP, Cause.SETTLING)
PACED = Ruling(Verdict.SKIP, Cause.PACED)
RULINGS = (FIRST, DISTANCE, CUT, SETTLED, BUSY, TIMER, STALE, UNCHANGED, SETTLING, PACED)
