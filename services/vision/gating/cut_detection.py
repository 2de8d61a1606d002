"""Distinguishes cuts from pans: a cut changes the picture at once, a pan frame after frame."""

from __future__ import annotations

from services.vision.gating.frame_difference import FrameDifference
from services.vision.gating.policy_options import CELLS

# A cut changes the picture more than twice as much as any frame in the memory below; the frames of a pan do not.
_CUT_OVER_MOTION = 2.0
_MOTION_MEMORY_S = 0.3


class CutDetector:
    """Cut detection for one track."""

    def __init__(self, cut_share: float) -> None:
        """Detect changes of more than `cut_share` of the cells (0 to 1) between two frames."""
        self._changed_cells_min = cut_share * CELLS
        self._recent_motion_levels = 0.0
        self._compared_frames = 0
        self._detected = False

    @property
    def detected(self) -> bool:
        """Whether a cut occurred since `reset`.

        False until a second difference is known: the first one may come from the middle of a pan.
        """
        return self._detected and self._compared_frames > 1

    def is_large(self, cells: int) -> bool:
        """Whether `cells` changed cells are enough for a cut."""
        return cells > self._changed_cells_min

    def update(self, difference: FrameDifference, elapsed_s: float) -> None:
        """Account for the frame that came `elapsed_s` seconds after the previous one."""
        self._compared_frames += 1
        motion_levels = difference.motion_mean_levels
        before = self._recent_motion_levels * max(0.0, 1 - elapsed_s / _MOTION_MEMORY_S)
        large = self.is_large(difference.cells_moved)
        if large and motion_levels > _CUT_OVER_MOTION * before:
            self._detected = True
        elif large and _CUT_OVER_MOTION * motion_levels > before:
            # The motion continues at the same strength: a pan that began before the first frame, as after a restart.
            self._detected = False
        self._recent_motion_levels = max(motion_levels, before)

    def reset(self) -> None:
        """Forget a detected cut, because a keyframe shows the picture after it."""
        self._detected = False
