"""Tells sensor noise from motion, and by how much noise moves a cell: what moves no cell by more is no change.

Noise moves every cell a little, all the time, alike and each by itself. Motion moves some cells by far more than the
rest, now more and now less, and neighbours together. A picture is taken for noise after frames without a doubt, and one
frame that moves otherwise ends that.
"""

from __future__ import annotations

import math

from services.vision.gating.frame_difference import NOISE_PEAK_OVER_MEAN_MAX, NOISE_PEAK_OVER_MEAN_MIN, FrameDifference
from services.vision.gating.policy_options import CELLS

# What the quietest frame of the last seconds moved on average, times this, is more than noise moves any of 4096 cells
# in an hour (6.5 x mean = 5.2 sigma of the difference of two frames).
_PEAK_OVER_MEAN = 6.5
_QUIET_MEMORY_S = 3.0
# What is not surely noise raises the threshold to twice itself at most: a camera that never rests is not noise.
_THRESHOLD_TIMES = 2
_LEVELS_MAX = 255
# Steady are this many frames in a row whose mean difference stays within this factor of the first one's (of noise it is
# a mean over 4096 cells and stays within 1.09) and whose largest is to the mean as that of noise.
_STEADY_FRAMES = 6
_STEADY_WITHIN = 1.12
# Neighbours that share the pixels under their border move together by 0.12 where a cell is 3.5 pixels; a bed of flowers
# in the wind, of all videos looked at the one most like noise, by 0.2.
_ALIKE_MAX = 0.15
# The largest difference of a steady stretch, times this, comes a few times in an hour.
_PEAK_OVER_LARGEST = 1.1
# The most that the noise of a sensor, this many levels a pixel, moves a cell of one pixel; a larger cell it moves less,
# by the root of its pixels. In frames smaller than 160x90 nothing is left to tell a picture from such noise.
_PIXEL_NOISE_LEVELS_MAX = 14
_PIXEL_PEAK_LEVELS = 5.2 * math.sqrt(2) * _PIXEL_NOISE_LEVELS_MAX
_CELL_PX_MIN = 160 * 90 / CELLS


class NoiseEstimator:
    """The noise of one track."""

    def __init__(self) -> None:
        """Begin without any."""
        self._quiet_levels: float | None = None
        self._first_levels = 0.0
        self._largest_levels = 0
        self._steady_frames = 0
        self._unalike_frames = 0

    @property
    def peak_levels(self) -> int:
        """The most that noise moves a cell."""
        peak = _PEAK_OVER_MEAN * (self._quiet_levels or 0.0)
        if self._steady_frames >= _STEADY_FRAMES:
            peak = max(peak, _PEAK_OVER_LARGEST * self._largest_levels)
        return math.ceil(peak)

    def raised_levels(self, threshold_levels: int, frame_px: int) -> int:
        """`threshold_levels`, or as much more as noise needs in a frame of `frame_px` pixels."""
        most = _THRESHOLD_TIMES * threshold_levels
        if self._unalike_frames >= _STEADY_FRAMES:
            most = max(most, int(_PIXEL_PEAK_LEVELS / math.sqrt(max(frame_px / CELLS, _CELL_PX_MIN))))
        return max(threshold_levels, min(self.peak_levels, most, _LEVELS_MAX))

    def notice(self, measured: FrameDifference, elapsed_s: float) -> None:
        """A frame came, `elapsed_s` after the one before."""
        jump, quiet = measured.jump, self._quiet_levels
        if quiet is None or jump < quiet:
            self._quiet_levels = jump
        else:
            self._quiet_levels = quiet + (jump - quiet) * min(1.0, elapsed_s / _QUIET_MEMORY_S)
        if not self._goes_on(jump):
            self._first_levels = jump
            self._largest_levels = self._steady_frames = self._unalike_frames = 0
        if not NOISE_PEAK_OVER_MEAN_MIN * jump <= measured.moved <= NOISE_PEAK_OVER_MEAN_MAX * jump:
            self._steady_frames = self._unalike_frames = 0
            return
        self._largest_levels = max(self._largest_levels, measured.moved)
        self._steady_frames += 1
        self._unalike_frames = self._unalike_frames + 1 if measured.alike <= _ALIKE_MAX else 0

    def _goes_on(self, jump_levels: float) -> bool:
        return self._first_levels / _STEADY_WITHIN <= jump_levels <= self._first_levels * _STEADY_WITHIN
