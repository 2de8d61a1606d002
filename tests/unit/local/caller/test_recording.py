"""Placement of frames in a recording."""

from __future__ import annotations

import numpy as np

from local.caller.audio import RATE_HZ
from local.caller.recording import SECONDS_MAX, Recording

FRAME = np.ones(480, np.int16)


def test_jitter_adds_no_silence():
    recording = Recording(0.0)
    for now_s in (0.010, 0.055, 0.056, 0.120):
        recording.append(FRAME, now_s)
    assert len(recording.samples()) == 4 * 480


def test_a_gap_becomes_silence():
    recording = Recording(0.0)
    recording.append(FRAME, 0.010)
    recording.append(FRAME, 1.0)
    assert len(recording.samples()) == RATE_HZ
    assert int(recording.samples().sum()) == 960


def test_frames_after_fifteen_minutes_are_dropped():
    recording = Recording(0.0)
    recording.append(FRAME, SECONDS_MAX + 1000.0)
    recording.append(FRAME, SECONDS_MAX + 1000.1)
    assert len(recording.samples()) <= SECONDS_MAX * RATE_HZ
