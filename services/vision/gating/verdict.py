"""The words of a decision: what to do with a frame, why, and how soon the next one is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Policy(Enum):
    """The rule that decides."""

    CELLS = "cells"
    PHASH = "phash"
    DHASH = "dhash"
    AHASH = "ahash"
    ECONOMY = "economy"
    TIMER = "timer"


class Verdict(Enum):
    """What to do with a frame."""

    KEEP = "keep"
    SKIP = "skip"
    REFRESH = "refresh"


class Cause(Enum):
    """Why a verdict fell; the contract describes each."""

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
    """A verdict and its cause. There is one of each kind, below, so that they compare and hash by identity."""

    verdict: Verdict
    cause: Cause


class Decision(NamedTuple):
    """A ruling over one frame with what was measured: bits of Hamming distance, cells changed, seconds to the next."""

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
