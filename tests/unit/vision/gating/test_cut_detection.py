"""A change of most cells at once is a cut; the frames of a pan are not."""

from __future__ import annotations

from services.vision.gating.cut_detection import CutDetector
from services.vision.gating.frame_difference import FrameDifference

FRAME_S = 1 / 30


def motion(mean_levels: float, cells: int = 4000) -> FrameDifference:
    return FrameDifference(cells, 200, cells, 200, mean_levels)


def detector(*differences: FrameDifference) -> CutDetector:
    cuts = CutDetector(cut_share=0.25)
    for difference in differences:
        cuts.update(difference, FRAME_S)
    return cuts


STILL = motion(0, cells=0)


def test_a_large_change_after_a_still_frame_is_a_cut_until_reset():
    cuts = detector(STILL, motion(60))
    assert cuts.detected
    cuts.reset()
    assert not cuts.detected


def test_the_first_difference_is_no_cut_until_the_next_frame():
    assert not detector(motion(60)).detected
    assert detector(motion(60), STILL).detected


def test_continued_motion_cancels_a_cut():
    assert not detector(STILL, motion(9), motion(9)).detected


def test_a_change_of_fewer_cells_than_the_share_is_no_cut():
    cuts = detector(STILL, motion(60, cells=1024))
    assert not cuts.detected
    assert not cuts.is_large(1024)
    assert cuts.is_large(1025)
