"""Simulated videos: noise alone keeps few frames, and neither words in noise nor motion are taken for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from hocket.client.vision import I420Frame, thumbnail
from services.vision.gating.cells_gate import CellsGate
from services.vision.gating.frame_difference import ThumbnailBuffer, stack_thumbnails
from services.vision.gating.policy_options import PolicyOptions
from services.vision.gating.verdict import Cause, Policy, Verdict

Picture = NDArray[np.float64]
SMALL = (320, 180)
FPS = 30


def kept(pictures: Iterator[Picture], policy: Policy = Policy.CELLS) -> tuple[list[tuple[float, Cause]], list[int]]:
    """Return time and cause of each keyframe of grey pictures, and the threshold after each picture."""
    gate, memory, times, thresholds = (
        CellsGate(policy, PolicyOptions()),
        ThumbnailBuffer(),
        list[tuple[float, Cause]](),
        [8],
    )
    for i, picture in enumerate(pictures):
        height, width = picture.shape
        luma = np.clip(picture, 0, 255).astype(np.uint8).tobytes()
        cells = thumbnail(I420Frame(luma + bytes([128]) * (width * height // 2), width, height))
        now = stack_thumbnails([cells.luma], [cells.chroma])
        (measured,) = memory.compare([0], now, [thresholds[-1]])
        ruling = gate.decide(i / FPS, measured, speaking=False).ruling
        thresholds.append(gate.threshold_levels(width * height))
        if ruling.verdict is not Verdict.SKIP:
            times.append((i / FPS, ruling.cause))
            memory.hold_keyframes([0], now)
    return times, thresholds


def noisy(size: tuple[int, int], level: float, sigma: float, *, frames: int = 360, seed: int = 1) -> Iterator[Picture]:
    rng, (width, height) = np.random.default_rng(seed), size
    for _ in range(frames):
        yield rng.normal(level, sigma, (height, width))


@pytest.mark.parametrize("sigma", [4, 8, 12])
@pytest.mark.parametrize("level", [16, 24, 110])
@pytest.mark.parametrize("size", [(640, 360), SMALL, (160, 90)])
def test_sensor_noise_of_any_strength_keeps_few_frames(size, level, sigma):
    times, _ = kept(noisy(size, level, sigma))
    # In twelve seconds: the first frame, a refresh, and up to three before the noise is certain.
    assert len(times) <= 5


@pytest.mark.parametrize("policy", [Policy.CELLS, Policy.ECONOMY])
def test_a_word_in_strong_noise_is_kept_within_a_third_of_a_second(policy):
    """A word of four cells appears every two seconds, in the strongest noise of the test above."""

    def words() -> Iterator[Picture]:
        for i, picture in enumerate(noisy(SMALL, 110, 12)):
            for word in range(i // 60):
                picture[40 + 20 * word : 46 + 20 * word, 100:120] -= 80
            yield picture

    times, _ = kept(words(), policy)
    changes = [at_s for at_s, cause in times if cause is not Cause.STALE][1:]
    assert changes == pytest.approx([2.0, 4.0, 6.0, 8.0, 10.0], abs=0.34)


def ripples() -> Iterator[Picture]:
    """Water: waves in all directions, with differences distributed like those of noise."""
    rng = np.random.default_rng(2)
    y, x = np.mgrid[0:180, 0:320] / 320
    waves = list(zip(rng.normal(0, 60, (24, 2)), rng.uniform(10, 40, 24), rng.uniform(0, 6.28, 24), strict=True))
    for i in range(150):
        yield 110 + 2 * sum(np.sin(a * x + b * y + speed * i / FPS + at) for (a, b), speed, at in waves)


def flicker() -> Iterator[Picture]:
    for i in range(150):
        yield np.full((180, 320), 100.0 + 20 * (i % 2))


def pan() -> Iterator[Picture]:
    """A detailed wall at constant speed: the mean difference hardly changes."""
    wall = np.kron(np.random.default_rng(3).normal(110, 30, (24, 200)), np.ones((8, 8)))
    for i in range(150):
        yield wall[:180, 4 * i : 4 * i + 320]  # type: ignore[misc]


@pytest.mark.parametrize("motion", [ripples, flicker, pan])
def test_constant_motion_is_not_taken_for_noise(motion: Callable[[], Iterator[Picture]]):
    times, thresholds = kept(motion())
    assert max(thresholds) <= 16
    assert len(times) >= 7
