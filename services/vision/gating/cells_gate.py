"""Decides over one frame of one track: keep it, skip it, or refresh an old picture; and how soon the next is wanted."""

from __future__ import annotations

from services.vision.gating.frame_difference import FrameDifference
from services.vision.gating.pacing import FRAME_GRID_S, next_frame_in_s
from services.vision.gating.policy_options import (
    BUSY_STRETCHED_S_MAX,
    CELLS,
    SUSTAINED_AFTER_S,
    UPLOAD_CREDIT_S_MAX,
    PolicyOptions,
)
from services.vision.gating.sensor_noise import NoiseEstimator
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

# Cuts in a row are kept this far apart at most often: a strobe is not sixteen cuts a second.
_CUT_INTERVAL_S = 0.1
# A cut changes the picture more than twice as much at once as any frame shortly before it did: a pan does not.
_CUT_OVER_MOTION = 2.0
_MOTION_MEMORY_S = 0.3
# Cells that differ by no more show the same picture: an encoder that refines it moves some by more.
_ROUNDING_LEVELS = 1
# A pause in which no cell changes for this long ends a stretch of motion.
_REST_S = 0.2
_BITS_PER_BYTE = 8
# At this share of changed cells the hidden difference counts in full (economy).
_SATURATED_SHARE = 0.25


class CellsGate:
    """Policies `cells` and `economy`: changed cells against the last kept frame. Times in seconds, never falling."""

    def __init__(self, policy: Policy, rules: PolicyOptions) -> None:
        """Begin with no frame kept."""
        self._rules = rules
        self._economy = policy is Policy.ECONOMY
        self._kept_at_s: float | None = None
        self._seen_at_s = 0.0
        self._moved_at_s = 0.0
        self._changed_at_s: float | None = None
        self._active_at_s = 0.0
        self._motion_levels = 0.0
        self._cut_pending = False
        self._compared_frames = 0
        self._hidden_share_s = 0.0
        self._kept_blurred = False
        self._noise = NoiseEstimator()
        self._stretch_at_s = 0.0
        self._paid_until_s = 0.0

    def threshold_levels(self, frame_px: int) -> int:
        """Difference beyond which a cell of the next frame has changed, a frame of `frame_px` pixels."""
        return self._noise.raised_levels(self._rules.cell_threshold_levels, frame_px)

    def decide(self, at_s: float, measured: FrameDifference, *, speaking: bool) -> Decision:
        """Judge the frame captured at `at_s`."""
        ruling = self._rule(at_s, measured)
        if ruling.verdict is not Verdict.SKIP:
            self._kept_at_s, self._changed_at_s = at_s, None
            self._cut_pending, self._hidden_share_s = False, 0.0
            at_rest = at_s - self._moved_at_s + FRAME_GRID_S >= self._rules.sharpen_interval_s
            self._kept_blurred = not at_rest and (ruling is FIRST or measured.changed > self._rules.minor_cells_max)
        if measured.changed_now > 0 or (ruling is not UNCHANGED and ruling is not STALE):
            if at_s - self._active_at_s > _REST_S:
                self._stretch_at_s = at_s
            self._active_at_s = at_s
        self._seen_at_s = at_s
        return Decision(ruling, 0, measured.changed, self._wanted_in_s(at_s, speaking=speaking))

    def notice_upload(self, size_bytes: int) -> None:
        """A kept frame was this large. What a quiet track did not upload it may spend when it moves."""
        took_s = size_bytes * _BITS_PER_BYTE / (self._rules.upload_budget_mbit_s * 1e6)
        self._paid_until_s = max(self._paid_until_s, self._seen_at_s - UPLOAD_CREDIT_S_MAX) + took_s

    def _wanted_in_s(self, at_s: float, *, speaking: bool) -> float:
        rules = self._rules
        # economy waits long for a moment of rest and must not look past it.
        moving = at_s - self._active_at_s <= _REST_S and not self._economy
        if moving and self._active_at_s - self._stretch_at_s > SUSTAINED_AFTER_S:
            # The frame at which the next one is due is wanted itself, whatever the grid of the others.
            due_in_s = self._busy_due_at_s - at_s
            wanted_in_s = due_in_s if 0 < due_in_s < rules.sustained_interval_s else rules.sustained_interval_s
            return max(wanted_in_s, rules.active_interval_s)
        return next_frame_in_s(rules, at_s, self._active_at_s, speaking=speaking)

    @property
    def _busy_due_at_s(self) -> float:
        """When a frame of a picture that goes on changing is kept: later where the last ones went over the budget."""
        kept_at_s = self._kept_at_s or 0.0
        stretched_s = min(self._paid_until_s, kept_at_s + BUSY_STRETCHED_S_MAX)
        return max(kept_at_s + self._rules.busy_interval_s, stretched_s)

    def _rule(self, at_s: float, measured: FrameDifference) -> Ruling:
        rules, elapsed_s = self._rules, at_s - self._seen_at_s
        if self._kept_at_s is None:
            self._moved_at_s = at_s
            return FIRST
        since_kept_s = at_s - self._kept_at_s + FRAME_GRID_S
        if measured.moved > rules.noise_floor_levels:
            self._moved_at_s = at_s
        self._noise.notice(measured, elapsed_s)
        self._compared_frames += 1
        self._notice_cut(measured, elapsed_s)
        different = measured.changed >= rules.changed_cells_min
        kept = self._keeps(at_s, elapsed_s, since_kept_s, measured.changed) if different else None
        if kept is not None:
            return kept
        if since_kept_s >= rules.refresh_interval_s:
            return STALE
        refined = self._kept_blurred and measured.drift > max(_ROUNDING_LEVELS, self._noise.peak_levels)
        # By the clock and not at rest: an encoder short of bits refines a page in steps, each of them a movement.
        if refined and not different and since_kept_s >= rules.sharpen_interval_s:
            return SETTLED
        return SETTLING if different or refined else UNCHANGED

    def _keeps(self, at_s: float, elapsed_s: float, since_kept_s: float, changed: int) -> Ruling | None:
        rules = self._rules
        # The first movement of a track may be the middle of a pan: the next frame tells.
        proven = self._cut_pending and self._compared_frames > 1
        if proven and changed > rules.cut_share * CELLS and since_kept_s >= _CUT_INTERVAL_S:
            return CUT
        if changed <= rules.minor_cells_max and since_kept_s < rules.minor_interval_s:
            return None
        if self._waited_enough(at_s, elapsed_s, changed):
            return BUSY
        if self._economy and since_kept_s < rules.minor_interval_s:
            return None
        return SETTLED if at_s - self._moved_at_s + FRAME_GRID_S >= rules.settle_interval_s else None

    def _notice_cut(self, measured: FrameDifference, elapsed_s: float) -> None:
        before = self._motion_levels * max(0.0, 1 - elapsed_s / _MOTION_MEMORY_S)
        large = measured.changed_now > self._rules.cut_share * CELLS
        if large and measured.jump > _CUT_OVER_MOTION * before:
            self._cut_pending = True
        elif large and _CUT_OVER_MOTION * measured.jump > before:
            # It goes on as it began: a pan whose beginning nobody saw, on a track that a new server took over.
            self._cut_pending = False
        self._motion_levels = max(measured.jump, before)

    def _waited_enough(self, at_s: float, elapsed_s: float, changed: int) -> bool:
        rules = self._rules
        if not self._economy:
            return at_s + FRAME_GRID_S >= self._busy_due_at_s
        # What stays hidden adds up, share of the cells x seconds: little for long or much for short.
        self._hidden_share_s += min(changed / CELLS, _SATURATED_SHARE) * elapsed_s
        if self._changed_at_s is None:
            self._changed_at_s = at_s
        if at_s - self._changed_at_s + FRAME_GRID_S >= rules.economy_interval_s:
            return True
        return self._hidden_share_s >= rules.economy_budget_share_s and at_s + FRAME_GRID_S >= self._busy_due_at_s
