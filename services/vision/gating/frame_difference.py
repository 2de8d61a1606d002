"""Compares thumbnails: how many cells changed since the last kept frame, and what moved since the frame before.

Apart from the rule that judges these numbers, because this half works on a whole batch at once: 64 thumbnails in one
call of numpy cost a tenth of 64 calls.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.vision.gating.policy_options import CELLS

LUMA_BYTES = 4096
CHROMA_BYTES = 512
_WIDTH = LUMA_BYTES + CHROMA_BYTES
# A chroma cell (16x16 of them) covers as much of the picture as 16 luma cells.
_CELLS_PER_CHROMA_CELL = CELLS // (CHROMA_BYTES // 2)
_SIDE = 64
_SLOTS_AT_FIRST = 4
_KEPT, _LATEST = 0, 1
# Thumbnails compared in one call, so that what lies between the calls stays in the processor's cache.
_AT_ONCE_MAX = 16

# Whether neighbours moved together is measured where it may be noise that moved them: from this mean difference on
# (less raises no threshold too far), and while the largest one is so many times the mean. Of noise it is 4 to 6 times,
# up to 10 where black clips half of it; of motion far more, and once where a light flickers.
_ALIKE_MEASURED_LEVELS = 1.5
NOISE_PEAK_OVER_MEAN_MIN, NOISE_PEAK_OVER_MEAN_MAX = 3.0, 10.0
FULLY_CORRELATED = 1.0

Thumbnails = NDArray[np.uint8]


class FrameDifference(NamedTuple):
    """One frame against the last kept one (`changed`, `drift`) and against the one before (the rest).

    `changed` and `changed_now` count cells beyond the threshold; `drift` and `moved` are the largest difference of any
    cell, `jump` the mean one of luma, in levels. `alike` is how much neighbours in luma moved together, 0 where each
    moved by itself and 1 where all moved as one; `FULLY_CORRELATED` where it is no noise, or too little to matter.
    """

    changed: int
    drift: int
    changed_now: int
    moved: int
    jump: float
    alike: float = FULLY_CORRELATED


def stack_thumbnails(lumas: list[bytes], chromas: list[bytes]) -> Thumbnails:
    """Thumbnails (n, 4608) uint8 of n offers; grey where an offer has no chroma."""
    parts: list[bytes] = []
    for luma, chroma in zip(lumas, chromas, strict=True):
        parts += (luma, chroma or _GREY)
    return np.frombuffer(b"".join(parts), np.uint8).reshape(len(lumas), _WIDTH)


class ThumbnailBuffer:
    """The last kept and the latest thumbnail of each track, by slot; 9 KiB a track, in one array."""

    def __init__(self) -> None:
        """Begin empty."""
        self._held: NDArray[np.uint8] = np.zeros((_SLOTS_AT_FIRST, 2, _WIDTH), np.uint8)

    def measure(self, slots: list[int], now: Thumbnails, thresholds_levels: list[int]) -> list[FrameDifference]:
        """Compare one frame each of different tracks, by the threshold of each; they become their tracks' latest."""
        self._grow_to(max(slots) + 1)
        thresholds = np.array(thresholds_levels, np.uint8)
        measured: list[FrameDifference] = []
        for start in range(0, len(slots), _AT_ONCE_MAX):
            part = slice(start, start + _AT_ONCE_MAX)
            measured += self._measure_part(slots[part], now[part], thresholds[part])
        return measured

    def keep(self, slots: list[int], thumbnails: Thumbnails) -> None:
        """These are the last kept of their tracks from now on."""
        self._held[slots, _KEPT] = thumbnails

    def _measure_part(self, slots: list[int], now: Thumbnails, thresholds: NDArray[np.uint8]) -> list[FrameDifference]:
        differences = _difference(now[:, None], self._held.take(slots, axis=0))
        changed = _cells_above(differences, thresholds[:, None, None])
        largest = np.maximum.reduce(differences, axis=2)
        jumps = np.add.reduce(differences[:, _LATEST, :LUMA_BYTES], axis=1, dtype=np.uint32) / LUMA_BYTES
        alike = [FULLY_CORRELATED] * len(slots)
        for i in _like_noise(jumps, largest[:, _LATEST]):
            alike[i] = _alike(now[i], self._held[slots[i], _LATEST])
        self._held[slots, _LATEST] = now
        return [
            FrameDifference(changed_since_kept, drift, changed_now, moved, jump, together)
            for (changed_since_kept, changed_now), (drift, moved), jump, together in zip(
                changed.tolist(), largest.tolist(), jumps.tolist(), alike, strict=True
            )
        ]

    def _grow_to(self, slots: int) -> None:
        while len(self._held) < slots:
            self._held = np.concatenate([self._held, np.zeros_like(self._held)])


def _difference(now: NDArray[np.uint8], before: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Absolute differences (n, 2, width), in place of `before`."""
    lower = np.minimum(now, before)
    np.maximum(now, before, out=before)
    return np.subtract(before, lower, out=before)


def _cells_above(differences: NDArray[np.uint8], levels: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """How many cells (n, 2) differ by more than `levels`."""
    above = (differences > levels).view(np.uint8)
    half = CHROMA_BYTES // 2
    u_or_v = above[..., LUMA_BYTES : LUMA_BYTES + half] | above[..., LUMA_BYTES + half :]
    luma = np.add.reduce(above[..., :LUMA_BYTES], axis=2, dtype=np.uint16)
    counts: NDArray[np.uint16] = np.maximum(
        luma, np.add.reduce(u_or_v, axis=2, dtype=np.uint16) * _CELLS_PER_CHROMA_CELL
    )
    return counts


def _like_noise(jumps: NDArray[np.float64], largest: NDArray[np.uint8]) -> list[int]:
    above, below = largest >= NOISE_PEAK_OVER_MEAN_MIN * jumps, largest <= NOISE_PEAK_OVER_MEAN_MAX * jumps
    found: list[int] = np.flatnonzero((jumps >= _ALIKE_MEASURED_LEVELS) & above & below).tolist()
    return found


def _alike(now: NDArray[np.uint8], before: NDArray[np.uint8]) -> float:
    """How much the luma of neighbours moved together: their mean product over the mean square."""
    moved = now[:LUMA_BYTES].astype(np.float32) - before[:LUMA_BYTES]
    square = float(moved @ moved)
    # The last cell of a row and the first of the next are no neighbours; they are 1 in 64 and change nothing.
    beside, below = float(moved[1:] @ moved[:-1]), float(moved[_SIDE:] @ moved[:-_SIDE])
    return (beside + below) / (2 * square)


_GREY = bytes([128]) * CHROMA_BYTES
