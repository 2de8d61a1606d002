"""Steady, uncorrelated noise raises the threshold; one frame of motion ends that."""

from __future__ import annotations

import pytest

from services.vision.gating.frame_difference import FrameDifference
from services.vision.gating.sensor_noise import NoiseEstimator

FPS = 30


STEADY = FrameDifference(0, 20, 0, 20, 4.0, motion_correlation=0.03)


def after(*measured: FrameDifference, frame_px: int = 320 * 180, threshold: int = 8) -> int:
    noise = NoiseEstimator()
    for each in measured:
        noise.update(each, 1 / FPS)
    return noise.threshold_levels(threshold, frame_px)


def test_steady_noise_raises_the_threshold_by_frame_size():
    assert [after(*[STEADY] * 6, frame_px=w * h) for w, h in ((1280, 720), (320, 180), (160, 90))] == [16, 26, 26]
    loud = STEADY._replace(motion_mean_levels=10.0, motion_peak_levels=50)
    assert [after(*[loud] * 6, frame_px=w * h) for w, h in ((1280, 720), (320, 180), (160, 90))] == [16, 27, 54]
    assert after(*[loud] * 6, frame_px=1) == 54


@pytest.mark.parametrize(
    "doubt",
    [
        {"motion_correlation": 0.2},
        {"motion_peak_levels": 41},
        {"motion_peak_levels": 11},
        {"motion_mean_levels": 4.6},
        {"motion_mean_levels": 3.5},
    ],
    ids=str,
)
def test_one_frame_of_motion_ends_certainty_about_noise(doubt):
    other = STEADY._replace(**doubt)
    assert after(*[STEADY] * 5) == 16
    assert after(*[STEADY] * 6) == 26
    assert after(*[STEADY] * 6, other) == 16
    assert after(*[STEADY] * 6, other, *[STEADY] * 5) == 16
    assert after(*[STEADY] * 6, other, *[STEADY] * 6) >= 23


def test_the_threshold_never_exceeds_255():
    violent = FrameDifference(4096, 255, 4096, 255, 200.0, motion_correlation=0.0)
    assert after(*[violent] * 9, threshold=128) == 255
