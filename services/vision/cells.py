"""Compares thumbnails: how many cells changed since the last kept frame, and what moved since the frame before.

Apart from the rule that judges these numbers, because this half works on a whole batch at once: 64 thumbnails in one
call of numpy cost a tenth of 64 calls.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.vision.rules import CELLS

LUMA_BYTES = 4096
CHROMA_BYTES = 512
_WIDTH = LUMA_BYTES + CHROMA_BYTES
# A chroma cell (16x16 of them) covers as much of the picture as 16 luma cells.
_CELLS_PER_CHROMA_CELL = CELLS // (CHROMA_BYTES // 2)
_SLOTS_AT_FIRST = 4

Thumbnails = NDArray[np.uint8]


class Measured(NamedTuple):
    """One frame against the last kept one (`changed`, `drift`) and against the one before (the rest).

    `changed` and `changed_now` count cells beyond the threshold; `drift` and `moved` are the largest difference of any
    cell, `jump` the mean one of luma, in levels.
    """

    changed: int
    drift: int
    changed_now: int
    moved: int
    jump: float


def stacked(lumas: list[bytes], chromas: list[bytes]) -> Thumbnails:
    """Thumbnails (n, 4608) uint8 of n offers; grey where an offer has no chroma."""
    parts: list[bytes] = []
    for luma, chroma in zip(lumas, chromas, strict=True):
        parts += (luma, chroma or _GREY)
    return np.frombuffer(b"".join(parts), np.uint8).reshape(len(lumas), _WIDTH)


class ThumbnailMemory:
    """The last kept and the latest thumbnail of each track, by slot; 9 KiB a track, in one array."""

    def __init__(self) -> None:
        """Begin empty."""
        self._kept: Thumbnails = np.zeros((_SLOTS_AT_FIRST, _WIDTH), np.uint8)
        self._latest: Thumbnails = np.zeros((_SLOTS_AT_FIRST, _WIDTH), np.uint8)

    def measure(self, slots: list[int], now: Thumbnails, thresholds_levels: list[int]) -> list[Measured]:
        """Compare one frame each of different tracks, by the threshold of each; they become their tracks' latest."""
        self._grow_to(max(slots) + 1)
        since_kept = _difference(now, self._kept[slots])
        since_before = _difference(now, self._latest[slots])
        self._latest[slots] = now
        thresholds = np.array(thresholds_levels, np.uint8)[:, None]
        changed = _cells_above(since_kept, thresholds)
        changed_now = _cells_above(since_before, thresholds)
        drift = since_kept.max(axis=1).tolist()
        moved = since_before.max(axis=1).tolist()
        jumps = (np.add.reduce(since_before[:, :LUMA_BYTES], axis=1, dtype=np.uint32) / LUMA_BYTES).tolist()
        return [Measured(*row) for row in zip(changed, drift, changed_now, moved, jumps, strict=True)]

    def keep(self, slots: list[int], thumbnails: Thumbnails) -> None:
        """These are the last kept of their tracks from now on."""
        self._kept[slots] = thumbnails

    def _grow_to(self, slots: int) -> None:
        while len(self._kept) < slots:
            self._kept = np.vstack([self._kept, np.zeros_like(self._kept)])
            self._latest = np.vstack([self._latest, np.zeros_like(self._latest)])


def _difference(a: Thumbnails, b: Thumbnails) -> Thumbnails:
    return np.maximum(a, b) - np.minimum(a, b)


def _cells_above(differences: Thumbnails, levels: Thumbnails) -> list[int]:
    above = differences > levels
    luma = np.count_nonzero(above[:, :LUMA_BYTES], axis=1)
    half = CHROMA_BYTES // 2
    u_or_v = above[:, LUMA_BYTES : LUMA_BYTES + half] | above[:, LUMA_BYTES + half :]
    chroma = np.count_nonzero(u_or_v, axis=1) * _CELLS_PER_CHROMA_CELL
    result: list[int] = np.maximum(luma, chroma).tolist()
    return result


_GREY = bytes([128]) * CHROMA_BYTES
