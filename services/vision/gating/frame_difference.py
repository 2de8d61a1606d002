"""Frame differencing: compares thumbnails with the last keyframe and the previous frame of their track.

Separate from the gates because it works on whole batches: 64 thumbnails in one numpy call cost a tenth of 64 calls.
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
_INITIAL_SLOTS = 4
_KEYFRAME, _PREVIOUS = 0, 1
# Thumbnails per numpy call: intermediate arrays of 16 stay in the processor's cache.
_BATCH_MAX = 16

# The correlation of neighbours is measured only where sensor noise could explain the difference, because it costs 5 us.
# Below this mean difference noise raises no threshold far enough to matter.
_CORRELATION_MEAN_LEVELS_MIN = 1.5
# Largest difference over mean difference of two noisy frames: 4 to 6, up to 10 where black clips half of the noise.
# Motion exceeds that by far; flicker of the light is near 1.
NOISE_PEAK_OVER_MEAN_MIN, NOISE_PEAK_OVER_MEAN_MAX = 3.0, 10.0
FULLY_CORRELATED = 1.0

Thumbnails = NDArray[np.uint8]


class FrameDifference(NamedTuple):
    """Differences of one thumbnail to those of its track, in cells (0 to 4096) and levels (0 to 255).

    Attributes:
        cells_changed: Cells above the threshold against the last keyframe.
        keyframe_peak_levels: Largest difference of any cell against the last keyframe.
        cells_moved: Cells above the threshold against the previous frame.
        motion_peak_levels: Largest difference of any cell against the previous frame.
        motion_mean_levels: Mean difference of the luma cells against the previous frame.
        motion_correlation: Correlation of the motion of neighbouring luma cells: 0 where each cell moved
            independently, as noise does, 1 where all moved alike; FULLY_CORRELATED where noise is ruled out.
    """

    cells_changed: int
    keyframe_peak_levels: int
    cells_moved: int
    motion_peak_levels: int
    motion_mean_levels: float
    motion_correlation: float = FULLY_CORRELATED


def stack_thumbnails(lumas: list[bytes], chromas: list[bytes]) -> Thumbnails:
    """Return n thumbnails as (n, 4608) uint8.

    Args:
        lumas: n luma thumbnails of 4096 bytes.
        chromas: n chroma thumbnails of 512 bytes, or empty for grey.
    """
    parts: list[bytes] = []
    for luma, chroma in zip(lumas, chromas, strict=True):
        parts += (luma, chroma or _GREY)
    return np.frombuffer(b"".join(parts), np.uint8).reshape(len(lumas), _WIDTH)


class ThumbnailBuffer:
    """Thumbnails of the last keyframe and the previous frame of each track, by slot, in one array; 9 KiB a track."""

    def __init__(self) -> None:
        """Start empty."""
        self._held: NDArray[np.uint8] = np.zeros((_INITIAL_SLOTS, 2, _WIDTH), np.uint8)

    def compare(self, slots: list[int], thumbnails: Thumbnails, thresholds_levels: list[int]) -> list[FrameDifference]:
        """Compare one thumbnail per track, then hold it as the previous frame of its track.

        Args:
            slots: Slot of each track, all different.
            thumbnails: (n, 4608) uint8, one per slot.
            thresholds_levels: Threshold of each track, 0 to 255 levels.

        Returns:
            One difference per slot, in order.
        """
        self._grow_to(max(slots) + 1)
        thresholds = np.array(thresholds_levels, np.uint8)
        differences: list[FrameDifference] = []
        for start in range(0, len(slots), _BATCH_MAX):
            part = slice(start, start + _BATCH_MAX)
            differences += self._compare_batch(slots[part], thumbnails[part], thresholds[part])
        return differences

    def hold_keyframes(self, slots: list[int], thumbnails: Thumbnails) -> None:
        """Hold `thumbnails` (n, 4608) as the last keyframes of the tracks in `slots`."""
        self._held[slots, _KEYFRAME] = thumbnails

    def _compare_batch(
        self, slots: list[int], thumbnails: Thumbnails, thresholds: NDArray[np.uint8]
    ) -> list[FrameDifference]:
        differences = _absolute_difference(thumbnails[:, None], self._held.take(slots, axis=0))
        cells = _cells_above(differences, thresholds[:, None, None])
        peaks = np.maximum.reduce(differences, axis=2)
        means = np.add.reduce(differences[:, _PREVIOUS, :LUMA_BYTES], axis=1, dtype=np.uint32) / LUMA_BYTES
        correlations = [FULLY_CORRELATED] * len(slots)
        for i in _maybe_noise(means, peaks[:, _PREVIOUS]):
            correlations[i] = _neighbour_correlation(thumbnails[i], self._held[slots[i], _PREVIOUS])
        self._held[slots, _PREVIOUS] = thumbnails
        return [
            FrameDifference(cells_changed, keyframe_peak, cells_moved, motion_peak, mean, correlation)
            for (cells_changed, cells_moved), (keyframe_peak, motion_peak), mean, correlation in zip(
                cells.tolist(), peaks.tolist(), means.tolist(), correlations, strict=True
            )
        ]

    def _grow_to(self, slots: int) -> None:
        while len(self._held) < slots:
            self._held = np.concatenate([self._held, np.zeros_like(self._held)])


def _absolute_difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return |a - b| as (n, 2, width), written into `b`."""
    lower = np.minimum(a, b)
    np.maximum(a, b, out=b)
    return np.subtract(b, lower, out=b)


def _cells_above(differences: NDArray[np.uint8], levels: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Return the number of cells (n, 2) that differ by more than `levels`, by luma or by chroma."""
    above = (differences > levels).view(np.uint8)
    half = CHROMA_BYTES // 2
    u_or_v = above[..., LUMA_BYTES : LUMA_BYTES + half] | above[..., LUMA_BYTES + half :]
    luma = np.add.reduce(above[..., :LUMA_BYTES], axis=2, dtype=np.uint16)
    counts: NDArray[np.uint16] = np.maximum(
        luma, np.add.reduce(u_or_v, axis=2, dtype=np.uint16) * _CELLS_PER_CHROMA_CELL
    )
    return counts


def _maybe_noise(means: NDArray[np.float64], peaks: NDArray[np.uint8]) -> list[int]:
    """Return the indexes of the frames whose mean and largest difference are those of sensor noise."""
    above, below = peaks >= NOISE_PEAK_OVER_MEAN_MIN * means, peaks <= NOISE_PEAK_OVER_MEAN_MAX * means
    found: list[int] = np.flatnonzero((means >= _CORRELATION_MEAN_LEVELS_MIN) & above & below).tolist()
    return found


def _neighbour_correlation(now: NDArray[np.uint8], before: NDArray[np.uint8]) -> float:
    """Return the mean product of the motion of neighbouring luma cells over its mean square."""
    moved = now[:LUMA_BYTES].astype(np.float32) - before[:LUMA_BYTES]
    square = float(moved @ moved)
    # The last cell of a row pairs with the first of the next: 1 pair in 64, too few to change the result.
    beside, below = float(moved[1:] @ moved[:-1]), float(moved[_SIDE:] @ moved[:-_SIDE])
    return (beside + below) / (2 * square)


_GREY = bytes([128]) * CHROMA_BYTES
