"""Frames are laid where the clock says; jitter is no gap, and a gap is silence."""

from __future__ import annotations

import numpy as np

from local.caller.audio import RATE_HZ
from local.caller.recording import SECONDS_MAX, Tape

FRAME = np.ones(480, np.int16)


def test_frames_that_jitter_lie_side_by_side():
    tape = Tape(0.0)
    for now_s in (0.010, 0.055, 0.056, 0.120):
        tape.add(FRAME, now_s)
    assert len(tape.pcm()) == 4 * 480


def test_a_gap_becomes_silence():
    tape = Tape(0.0)
    tape.add(FRAME, 0.010)
    tape.add(FRAME, 1.0)
    assert len(tape.pcm()) == RATE_HZ
    assert int(tape.pcm().sum()) == 960


def test_what_comes_after_fifteen_minutes_is_not_kept():
    tape = Tape(0.0)
    tape.add(FRAME, SECONDS_MAX + 1000.0)
    tape.add(FRAME, SECONDS_MAX + 1000.1)
    assert len(tape.pcm()) <= SECONDS_MAX * RATE_HZ
