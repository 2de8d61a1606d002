"""The DCT has the bits of scipy.fftpack.dct, which the imagehash library uses."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fftpack

from services.vision.gating.fftpack_dct import SIDE, dct_ii

RNG = np.random.default_rng(7)
NOISE = RNG.integers(0, 256, (200, SIDE)).astype(np.float64)
ROWS = {
    "flat": np.full((1, SIDE), 77.0),
    "noise": NOISE,
    "symmetric": np.hstack([NOISE[:, : SIDE // 2], NOISE[:, SIDE // 2 - 1 :: -1]]),
    "ramp": np.arange(SIDE, dtype=np.float64)[None],
    "fractions": RNG.standard_normal((200, SIDE)),
}


@pytest.mark.parametrize("name", ROWS)
def test_every_bit_equals_that_of_scipy(name):
    assert np.array_equal(dct_ii(ROWS[name]), scipy.fftpack.dct(ROWS[name]))
