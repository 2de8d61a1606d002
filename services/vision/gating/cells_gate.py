"""Policies `cells` and `economy`: keep a frame by the thumbnail cells that differ from the last keyframe."""

from __future__ import annotations

from services.vision.gating.cut_detection import CutDetector
from services.vision.gating.frame_difference import FrameDifference
from services.vision.gating.pacing import FRAME_GRID_S, next_frame_in_s
from services.vision.gating.policy_options import CELLS, SUSTAINED_AFTER_S, PolicyOptions
from services.vision.gating.sensor_noise import NoiseEstimator
from services.vision.gating.upload_budget import UploadBudget
from services.vision.gating.verdict import (
    BUSY,
    CUT,
    FIRST,
    SETTLED,
    SETTLING,
    STALE,
    UNCHANGED,
    Decision,
    Policy,
    Ruling,
    Verdict,
)

# Least interval between cuts: a strobe light brings at most ten a second.
_CUT_INTERVAL_S = 0.1
# Largest difference of a cell between two encodings of one picture. The refinement of a blurred frame exceeds it.
_ROUNDING_LEVELS = 1
# Motion has ended once no cell has changed for this long.
_REST_S = 0.2
# economy: share of changed cells from which a hidden change counts in full.
_SATURATED_SHARE = 0.25


class CellsGate:
    """Gate of one track. All times are track times in seconds and never decrease."""

    def __init__(self, policy: Policy, options: PolicyOptions) -> None:
        """Start without a keyframe, for policy CELLS or ECONOMY."""
        self._options = options
        self._economy = policy is Policy.ECONOMY
        self._keyframe_at_s: float | None = None
        self._keyframe_blurred = False
        self._previous_at_s = 0.0
        # Last frame that moved by more than the noise floor.
        self._moved_at_s = 0.0
        # Last frame with changed cells, and the first one of its stretch without a rest.
        self._active_at_s = 0.0
        self._motion_began_at_s = 0.0
        # economy: first frame that showed the change hidden now, and the hidden share of the cells x seconds.
        self._hidden_since_s: float | None = None
        self._hidden_share_s = 0.0
        self._cuts = CutDetector(options.cut_share)
        self._noise = NoiseEstimator()
        self._budget = UploadBudget(options.upload_budget_mbit_s)

    def threshold_levels(self, frame_px: int) -> int:
        """Return the difference in levels (1 to 255) above which a cell of the next frame counts as changed.

        Args:
            frame_px: Pixels of the full frame; sensor noise moves the cells of small frames further.
        """
        return self._noise.threshold_levels(self._options.cell_threshold_levels, frame_px)

    def decide(self, at_s: float, difference: FrameDifference, *, speaking: bool) -> Decision:
        """Decide for one frame.

        Args:
            at_s: Track time of the frame.
            difference: Its thumbnail against the last keyframe and the previous frame.
            speaking: Whether the track's participant is speaking.

        Returns:
            The decision; for KEEP and REFRESH this frame becomes the keyframe.
        """
        ruling = self._rule(at_s, difference)
        if ruling.verdict is not Verdict.SKIP:
            self._start_keyframe(at_s, ruling, difference.cells_changed)
        if difference.cells_moved > 0 or (ruling is not UNCHANGED and ruling is not STALE):
            if at_s - self._active_at_s > _REST_S:
                self._motion_began_at_s = at_s
            self._active_at_s = at_s
        self._previous_at_s = at_s
        return Decision(ruling, 0, difference.cells_changed, self._next_frame_in_s(at_s, speaking=speaking))

    def record_upload(self, size_bytes: int) -> None:
        """Charge the JPEG of a keyframe to the track's upload budget."""
        self._budget.record(size_bytes, self._previous_at_s)

    def _start_keyframe(self, at_s: float, ruling: Ruling, cells_changed: int) -> None:
        self._keyframe_at_s, self._hidden_since_s, self._hidden_share_s = at_s, None, 0.0
        self._cuts.reset()
        at_rest = at_s - self._moved_at_s + FRAME_GRID_S >= self._options.sharpen_interval_s
        self._keyframe_blurred = not at_rest and (ruling is FIRST or cells_changed > self._options.minor_cells_max)

    def _next_frame_in_s(self, at_s: float, *, speaking: bool) -> float:
        options = self._options
        # Not for economy: it waits longer for a frame at rest and would miss one between two sparse frames.
        moving = at_s - self._active_at_s <= _REST_S and not self._economy
        if moving and self._active_at_s - self._motion_began_at_s > SUSTAINED_AFTER_S:
            # Ask for the frame at which the next keyframe is due, also between two frames of the sustained interval.
            due_in_s = self._busy_due_at_s - at_s
            wanted_in_s = due_in_s if 0 < due_in_s < options.sustained_interval_s else options.sustained_interval_s
            return max(wanted_in_s, options.active_interval_s)
        return next_frame_in_s(options, at_s, self._active_at_s, speaking=speaking)

    @property
    def _busy_due_at_s(self) -> float:
        """Earliest time of the next keyframe while the picture keeps changing."""
        return self._budget.next_keyframe_s(self._keyframe_at_s or 0.0, self._options.busy_interval_s)

    def _rule(self, at_s: float, difference: FrameDifference) -> Ruling:
        options, elapsed_s = self._options, at_s - self._previous_at_s
        if self._keyframe_at_s is None:
            self._moved_at_s = at_s
            return FIRST
        age_s = at_s - self._keyframe_at_s + FRAME_GRID_S
        if difference.motion_peak_levels > options.noise_floor_levels:
            self._moved_at_s = at_s
        self._noise.update(difference, elapsed_s)
        self._cuts.update(difference, elapsed_s)
        changed = difference.cells_changed >= options.changed_cells_min
        keep = self._keep_changed(at_s, elapsed_s, age_s, difference.cells_changed) if changed else None
        if keep is not None:
            return keep
        if age_s >= options.refresh_interval_s:
            return STALE
        unrefined_levels = max(_ROUNDING_LEVELS, self._noise.peak_levels)
        refined = self._keyframe_blurred and difference.keyframe_peak_levels > unrefined_levels
        # Measured from the keyframe and not from the last motion: an encoder short of bits refines a page in steps, and
        # each step counts as motion.
        if refined and not changed and age_s >= options.sharpen_interval_s:
            return SETTLED
        return SETTLING if changed or refined else UNCHANGED

    def _keep_changed(self, at_s: float, elapsed_s: float, age_s: float, cells_changed: int) -> Ruling | None:
        """Return the ruling that keeps a changed frame, or None while the change has to wait."""
        options = self._options
        if self._cuts.detected and self._cuts.is_large(cells_changed) and age_s >= _CUT_INTERVAL_S:
            return CUT
        if cells_changed <= options.minor_cells_max and age_s < options.minor_interval_s:
            return None
        if self._waited_enough(at_s, elapsed_s, cells_changed):
            return BUSY
        if self._economy and age_s < options.minor_interval_s:
            return None
        return SETTLED if at_s - self._moved_at_s + FRAME_GRID_S >= options.settle_interval_s else None

    def _waited_enough(self, at_s: float, elapsed_s: float, cells_changed: int) -> bool:
        options = self._options
        busy_due = at_s + FRAME_GRID_S >= self._busy_due_at_s
        if not self._economy:
            return busy_due
        # A small change may stay hidden for long, a large one briefly.
        self._hidden_share_s += min(cells_changed / CELLS, _SATURATED_SHARE) * elapsed_s
        if self._hidden_since_s is None:
            self._hidden_since_s = at_s
        if at_s - self._hidden_since_s + FRAME_GRID_S >= options.economy_interval_s:
            return True
        return busy_due and self._hidden_share_s >= options.economy_budget_share_s
