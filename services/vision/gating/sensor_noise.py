"""Estimates the sensor noise of a track, so that noise alone changes no cell.

Noise moves every cell a little in every frame, by a similar amount and independently of its neighbours. Motion moves
some cells far more than the rest, by varying amounts, and neighbours alike. Six frames with all marks of noise are
needed to call it certain; one frame without them ends that.
"""

from __future__ import annotations

import math

from services.vision.gating.frame_difference import (
    NOISE_PEAK_OVER_MEAN_MAX,
    NOISE_PEAK_OVER_MEAN_MIN,
    FrameDifference,
)
from services.vision.gating.policy_options import CELLS

# 6.5 x the mean difference is 5.2 sigma of the difference of two frames: noise of that mean moves any of 4096 cells
# further less than once an hour. The mean is that of the quietest frame in this memory.
_PEAK_OVER_MEAN = 6.5
_QUIET_MEMORY_S = 3.0
# Uncertain noise at most doubles the threshold: a camera in constant motion looks similar.
_UNCERTAIN_THRESHOLD_FACTOR = 2
_LEVELS_MAX = 255
# Noise is steady after this many consecutive frames with a mean difference within this factor of the first one's. The
# mean over 4096 cells of pure noise stays within 1.09.
_STEADY_FRAMES = 6
_STEADY_WITHIN = 1.12
# Largest correlation of noise. Neighbours that share border pixels correlate by 0.12 where a cell is 3.5 pixels wide;
# the video most similar to noise so far, a flower bed in the wind, by 0.2.
_NOISE_CORRELATION_MAX = 0.15
# Noise exceeds the largest difference of its steady frames by this factor a few times an hour.
_PEAK_OVER_LARGEST = 1.1
# Strongest supported noise of a sensor, in levels of standard deviation per pixel. A cell of n pixels moves by
# 1/sqrt(n) of a pixel. Below 160x90 such noise would hide the picture itself.
_PIXEL_NOISE_LEVELS_MAX = 14
_PIXEL_PEAK_LEVELS = 5.2 * math.sqrt(2) * _PIXEL_NOISE_LEVELS_MAX
_CELL_PX_MIN = 160 * 90 / CELLS


class NoiseEstimator:
    """Noise estimate of one track."""

    def __init__(self) -> None:
        """Start at no noise."""
        self._quiet_levels: float | None = None
        self._first_levels = 0.0
        self._largest_levels = 0
        self._steady_frames = 0
        self._uncorrelated_frames = 0

    @property
    def peak_levels(self) -> int:
        """Largest difference of a cell that noise explains, in levels."""
        peak = _PEAK_OVER_MEAN * (self._quiet_levels or 0.0)
        if self._steady_frames >= _STEADY_FRAMES:
            peak = max(peak, _PEAK_OVER_LARGEST * self._largest_levels)
        return math.ceil(peak)

    def threshold_levels(self, configured_levels: int, frame_px: int) -> int:
        """Return the threshold for the next frame, raised above the noise.

        Args:
            configured_levels: Threshold without noise, 1 to 255 levels.
            frame_px: Pixels of the full frame; noise moves the cells of small frames further.

        Returns:
            `configured_levels` to 255 levels; at most twice `configured_levels` while the noise is uncertain.
        """
        most = _UNCERTAIN_THRESHOLD_FACTOR * configured_levels
        if self._uncorrelated_frames >= _STEADY_FRAMES:
            most = max(most, int(_PIXEL_PEAK_LEVELS / math.sqrt(max(frame_px / CELLS, _CELL_PX_MIN))))
        return max(configured_levels, min(self.peak_levels, most, _LEVELS_MAX))

    def update(self, difference: FrameDifference, elapsed_s: float) -> None:
        """Account for the frame that came `elapsed_s` seconds after the previous one."""
        mean, quiet = difference.motion_mean_levels, self._quiet_levels
        if quiet is None or mean < quiet:
            self._quiet_levels = mean
        else:
            self._quiet_levels = quiet + (mean - quiet) * min(1.0, elapsed_s / _QUIET_MEMORY_S)
        if not self._is_steady(mean):
            self._first_levels = mean
            self._largest_levels = self._steady_frames = self._uncorrelated_frames = 0
        peak = difference.motion_peak_levels
        if not NOISE_PEAK_OVER_MEAN_MIN * mean <= peak <= NOISE_PEAK_OVER_MEAN_MAX * mean:
            self._steady_frames = self._uncorrelated_frames = 0
            return
        self._largest_levels = max(self._largest_levels, peak)
        self._steady_frames += 1
        uncorrelated = difference.motion_correlation <= _NOISE_CORRELATION_MAX
        self._uncorrelated_frames = self._uncorrelated_frames + 1 if uncorrelated else 0

    def _is_steady(self, mean_levels: float) -> bool:
        return self._first_levels / _STEADY_WITHIN <= mean_levels <= self._first_levels * _STEADY_WITHIN
