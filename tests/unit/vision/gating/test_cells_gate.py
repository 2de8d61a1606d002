"""Frames that the cells and economy policies keep, by track time."""

from __future__ import annotations

from itertools import pairwise

import pytest

from services.vision.gating.cells_gate import CellsGate
from services.vision.gating.frame_difference import FrameDifference
from services.vision.gating.policy_options import NEVER_S, PolicyOptions
from services.vision.gating.verdict import Cause, Policy, Verdict


def difference(
    changed: int, moved: int, peak: int, mean: float | None = None, keyframe_peak: int | None = None
) -> FrameDifference:
    """Return a difference; its mean defaults to a quarter of the peak over the moved cells."""
    keyframe_peak = (50 if changed else 0) if keyframe_peak is None else keyframe_peak
    return FrameDifference(changed, keyframe_peak, moved, peak, moved / 4096 * peak / 4 if mean is None else mean)


STILL = difference(0, 0, 0)
MANY = 2000


def run(gate, frames, *, speaking=False):
    """Return the decisions for (time, difference) pairs."""
    return [gate.decide(at_s, each, speaking=speaking) for at_s, each in frames]


def causes(decisions):
    return [d.ruling.cause for d in decisions]


def kept(decisions):
    return [i for i, d in enumerate(decisions) if d.ruling.verdict is not Verdict.SKIP]


def cells(**options) -> CellsGate:
    return CellsGate(Policy.CELLS, PolicyOptions(**options))


def test_a_still_picture_is_kept_once_and_then_refreshed():
    decisions = run(cells(refresh_interval_s=2), [(i * 0.5, STILL) for i in range(10)])
    assert [(i, decisions[i].ruling.cause) for i in kept(decisions)] == [
        (0, Cause.FIRST),
        (4, Cause.STALE),
        (8, Cause.STALE),
    ]
    assert decisions[4].ruling.verdict is Verdict.REFRESH


def test_a_keyframe_taken_in_motion_is_followed_by_one_refined_keyframe():
    """A video encoder refines a picture at rest; the means of the cells hardly change."""
    moving, refined = difference(400, 400, 90), difference(0, 0, 2, keyframe_peak=4)
    frames = [(0.0, STILL), (1.0, moving), *((1.0 + i / 30, refined) for i in range(1, 90))]
    decisions = run(cells(), frames)
    assert [(causes(decisions)[i], round(frames[i][0], 2)) for i in kept(decisions)] == [
        (Cause.FIRST, 0.0),
        (Cause.BUSY, 1.0),
        (Cause.SETTLED, 1.5),
    ]
    assert decisions[3].ruling.cause is Cause.SETTLING
    assert decisions[-1].ruling.cause is Cause.UNCHANGED


def test_a_keyframe_taken_in_motion_without_refinement_is_final():
    frames = [(0.0, STILL), (1.0, difference(400, 400, 90)), *((1.0 + i / 30, STILL) for i in range(1, 90))]
    assert kept(run(cells(), frames)) == [0, 1]


def test_a_cut_is_kept_at_once():
    gate = cells()
    cut = difference(changed=MANY, moved=MANY, peak=200)
    decisions = run(gate, [(0.0, STILL), (0.033, STILL), (0.12, cut)])
    assert causes(decisions) == [Cause.FIRST, Cause.UNCHANGED, Cause.CUT]


def test_a_cut_after_the_first_frame_is_kept_with_the_next_frame():
    cut, after = difference(MANY, MANY, 200), difference(MANY, 0, 0)
    decisions = run(cells(), [(0.0, STILL), (0.1, cut), (0.2, after)])
    assert causes(decisions) == [Cause.FIRST, Cause.SETTLING, Cause.CUT]


def test_a_cut_within_the_strobe_limit_is_kept_after_it():
    gate = cells()
    cut, after = difference(MANY, MANY, 200), difference(MANY, 0, 0)
    decisions = run(gate, [(0.0, STILL), (0.033, cut), (0.066, after), (0.1, after)])
    assert causes(decisions) == [Cause.FIRST, Cause.SETTLING, Cause.SETTLING, Cause.CUT]


def test_a_pan_has_at_most_one_cut():
    gate = cells()
    frames = [(i / 30, difference(MANY, MANY, 90)) for i in range(31)]
    decisions = run(gate, frames)
    assert causes(decisions).count(Cause.CUT) <= 1
    assert len(kept(decisions)) <= 6


@pytest.mark.parametrize("fps", [30, 15, 10])
def test_a_pan_that_began_before_the_track_has_no_cut(fps):
    """As after a restart in the middle of a pan: the first frame, then one per busy interval."""
    decisions = run(cells(), [(i / fps, difference(MANY, MANY, 90, mean=9.0 + i % 2)) for i in range(fps // 2)])
    assert [causes(decisions)[i] for i in kept(decisions)] == [Cause.FIRST, Cause.BUSY]


def test_a_cut_into_motion_is_kept_after_the_strobe_limit():
    pan = [(0.066 + i / 30, difference(MANY, MANY, 90, mean=9.0)) for i in range(3)]
    decisions = run(cells(), [(0.0, STILL), (0.033, difference(4000, 4000, 240, mean=60.0)), *pan])
    assert [causes(decisions)[i] for i in kept(decisions)] == [Cause.FIRST, Cause.CUT]


def test_a_cut_during_a_pan_is_detected():
    pan = [(i / 30, difference(MANY, MANY, 90, mean=9.0)) for i in range(16)]
    decisions = run(cells(), [*pan, (0.6, difference(4000, 4000, 240, mean=60.0))])
    assert causes(decisions)[-1] is Cause.CUT


def test_a_changing_picture_is_kept_every_busy_interval():
    decisions = run(cells(), [(i / 25, difference(200, 100, 50)) for i in range(51)])
    times = [i / 25 for i in kept(decisions)]
    assert all(b - a == pytest.approx(0.28) for a, b in pairwise(times))


def test_a_settled_change_is_kept_before_the_busy_interval():
    moving, rest = difference(50, 50, 90), difference(50, 0, 0)
    frames = [(0.0, STILL), (0.033, moving), (0.066, rest), (0.1, rest), (0.133, rest)]
    decisions = run(cells(), frames)
    assert causes(decisions) == [Cause.FIRST, Cause.SETTLING, Cause.SETTLING, Cause.SETTLING, Cause.SETTLED]


def test_a_blinking_caret_is_kept_about_once_a_second():
    blink = [(i / 30, difference(1 if i // 15 % 2 else 0, int(i % 15 == 0), 200 * (i % 15 == 0))) for i in range(301)]
    assert len(kept(run(cells(), blink))) <= 11


def test_a_word_of_few_cells_is_kept_within_a_second():
    word = difference(2, 0, 0)
    decisions = run(
        cells(), [(0.0, STILL), (0.033, difference(2, 2, 90)), *((0.066 + i / 30, word) for i in range(30))]
    )
    at = kept(decisions)[1]
    assert 0.033 + at / 30 <= 1.0


def test_motion_below_the_threshold_keeps_no_frame():
    decisions = run(cells(refresh_interval_s=NEVER_S), [(i / 30, difference(0, 0, 8)) for i in range(300)])
    assert kept(decisions) == [0]


def test_the_active_interval_follows_changes_and_speech():
    frames = [(0.0, STILL), (0.5, STILL), (1.5, STILL)]
    assert [round(d.next_frame_in_s, 3) for d in run(cells(), frames)] == [0.033, 0.033, 0.2]
    assert [round(d.next_frame_in_s, 3) for d in run(cells(), frames, speaking=True)] == [0.033] * 3


def test_a_refresh_keeps_the_idle_interval():
    decisions = run(cells(refresh_interval_s=2), [(0.0, STILL), (1.5, STILL), (2.0, STILL), (2.2, STILL)])
    assert decisions[2].ruling.cause is Cause.STALE
    assert decisions[3].next_frame_in_s == 0.2


def test_economy_keeps_a_third_of_the_frames_of_small_motion():
    frames = [(i / 30, difference(60, 40, 50)) for i in range(300)]
    frugal, default = (run(CellsGate(p, PolicyOptions()), frames) for p in (Policy.ECONOMY, Policy.CELLS))
    assert 0 < len(kept(frugal)) <= len(kept(default)) / 3


def test_a_page_refined_in_steps_is_kept_after_the_sharpen_interval():
    """Each step moves cells by more than noise and by less than the threshold."""
    moving, step = difference(1200, 1200, 120), difference(0, 0, 5, keyframe_peak=8)
    frames = [(0.0, STILL), (1.0, moving), *((1.0 + i / 30, step) for i in range(1, 60))]
    assert [round(frames[i][0], 2) for i in kept(run(cells(), frames))] == [0.0, 1.0, 1.5]


MOVING = difference(400, 400, 90)


@pytest.mark.parametrize("fps", [10, 12.5, 15, 24, 25, 30])
def test_the_sustained_interval_includes_the_next_keyframe(fps):
    """The first frame at or after the wanted time comes no later than the frame rate allows."""
    gate, times, wanted_s = cells(), [], 0.0
    for i in range(int(10 * fps)):
        if i / fps >= wanted_s - 0.01:
            decision = gate.decide(i / fps, MOVING, speaking=False)
            wanted_s = i / fps + decision.next_frame_in_s
            times += [i / fps] if decision.ruling.verdict is not Verdict.SKIP else []
    due_s = -(-(0.25 - 0.002) * fps // 1) / fps
    assert [b - a for a, b in pairwise(times)][8:] == pytest.approx([due_s] * (len(times) - 9))


def test_constant_motion_doubles_the_interval_until_it_rests():
    frames = [(0.0, STILL), *((1.0 + i / 30, MOVING) for i in range(60)), *((3.0 + i / 30, STILL) for i in range(60))]
    decisions = run(cells(), frames)
    wanted = {round(at_s, 2): d.next_frame_in_s for (at_s, _), d in zip(frames, decisions, strict=True)}
    assert wanted[1.5] == pytest.approx(1 / 30)
    assert wanted[2.5] == pytest.approx(1 / 15)
    assert wanted[3.5] == pytest.approx(1 / 30)
    assert wanted[4.5] == pytest.approx(0.2)


def test_the_sustained_interval_is_at_least_the_active_one():
    decisions = run(cells(active_interval_s=0.1), [(i / 10, MOVING) for i in range(30)])
    assert decisions[-1].next_frame_in_s == pytest.approx(0.1)


def kept_while_busy(gate, size_bytes: int, *, from_s: float, to_s: float) -> list[float]:
    """Return the times of keyframes of a constantly changing picture, each uploaded with `size_bytes`."""
    times, moving = [], difference(2000, 400, 90)
    for i in range(round(from_s * 100), round(to_s * 100)):
        if gate.decide(i / 100, moving, speaking=False).ruling.verdict is not Verdict.SKIP:
            times.append(i / 100)
            gate.record_upload(size_bytes)
    return times


@pytest.mark.parametrize(("size_bytes", "interval_s"), [(20_000, 0.25), (135_000, 0.3), (1_000_000, 0.4)])
@pytest.mark.parametrize("policy", [Policy.CELLS, Policy.ECONOMY])
def test_large_keyframes_stretch_the_busy_interval_up_to_its_limit(policy, size_bytes, interval_s):
    times = kept_while_busy(CellsGate(policy, PolicyOptions(upload_budget_mbit_s=3.6)), size_bytes, from_s=0, to_s=5)
    assert [b - a for a, b in pairwise(times)][1:] == pytest.approx([interval_s] * (len(times) - 2), abs=0.011)


def test_a_quiet_track_spends_its_credit_and_stays_within_its_budget():
    gate, size_bytes = cells(upload_budget_mbit_s=3.6), 180_000
    gate.decide(0.0, STILL, speaking=False)
    gate.record_upload(size_bytes)
    times = kept_while_busy(gate, size_bytes, from_s=60, to_s=80)
    gaps = [b - a for a, b in pairwise(times)]
    # Each keyframe takes 0.4 s of the budget; the credit of two seconds is spent after 13 keyframes.
    assert gaps[:10] == pytest.approx([0.25] * 10, abs=0.011)
    assert gaps[-20:] == pytest.approx([0.4] * 20, abs=0.011)
    assert len(times) * size_bytes * 8 <= 3.6e6 * (20 + 2.5)
