"""Resampling of a stream."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.speech.resampling import Resampler

RATES = [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000]


def tone(rate_hz: int, frequency_hz: float, length_s: float = 0.5) -> np.ndarray:
    return (10_000 * np.sin(2 * np.pi * frequency_hz * np.arange(int(rate_hz * length_s)) / rate_hz)).astype(np.int16)


def resampled(samples: np.ndarray, from_hz: int, to_hz: int, piece: int = 441) -> np.ndarray:
    resampler = Resampler(from_hz, to_hz)
    parts = [resampler.push(samples[at : at + piece]) for at in range(0, len(samples), piece)]
    return np.concatenate([*parts, resampler.flush()])


@pytest.mark.parametrize("from_hz", RATES)
@pytest.mark.parametrize("to_hz", RATES)
def test_a_tone_keeps_its_frequency_level_and_length(from_hz, to_hz):
    made = resampled(tone(from_hz, 440), from_hz, to_hz)
    wanted = 10_000 * np.sin(2 * np.pi * 440 * np.arange(len(made)) / to_hz)
    inner = slice(to_hz // 50, -to_hz // 50)
    assert len(made) == -(-int(from_hz * 0.5) * to_hz // from_hz)
    assert np.sqrt(np.mean((made[inner] - wanted[inner]) ** 2)) < 5


def test_frequencies_above_the_lower_nyquist_frequency_are_removed():
    made = resampled(tone(48_000, 12_000), 48_000, 16_000)
    assert np.abs(made[200:-200]).max() < 20


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=8), st.sampled_from(RATES), st.sampled_from(RATES))
def test_output_does_not_depend_on_how_the_input_is_split(sizes, from_hz, to_hz):
    samples = tone(from_hz, 300, sum(sizes) / from_hz)[: sum(sizes)]
    resampler, at, parts = Resampler(from_hz, to_hz), 0, []
    for size in sizes:
        parts.append(resampler.push(samples[at : at + size]))
        at += size
    parts.append(resampler.flush())
    whole = resampled(samples, from_hz, to_hz, piece=len(samples) or 1)
    assert np.abs(np.concatenate(parts).astype(int) - whole.astype(int)).max(initial=0) <= 1
