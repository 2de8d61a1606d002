"""Hashes equal those of the imagehash library bit for bit, also where a plain DCT would not."""

from __future__ import annotations

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from services.vision.gating.perceptual_hash import hamming_distance_bits, image_hash, phash_32x32, thumbnail_hash
from services.vision.gating.verdict import Policy

REFERENCE = {Policy.PHASH: imagehash.phash, Policy.DHASH: imagehash.dhash, Policy.AHASH: imagehash.average_hash}
RAMP = np.linspace(0, 255, 96, dtype=np.uint8)


def bits(reference: imagehash.ImageHash) -> int:
    return int(str(reference), 16)


def checkerboard(side: int) -> np.ndarray:
    y, x = np.indices((96, 96)) // side
    return ((x + y) % 2 * 255).astype(np.uint8)


PICTURES = {
    "black": np.zeros((96, 96), np.uint8),
    "white": np.full((96, 96), 255, np.uint8),
    "flat": np.full((40, 70), 77, np.uint8),
    "left half": np.repeat([[0] * 48 + [255] * 48], 96, axis=0).astype(np.uint8),
    "top half": np.repeat([[0] * 48 + [255] * 48], 96, axis=0).astype(np.uint8).T,
    "horizontal ramp": np.tile(RAMP, (96, 1)),
    "vertical ramp": np.tile(RAMP, (96, 1)).T,
    "diagonal": np.minimum.outer(RAMP, RAMP),
    "checkerboard 3": checkerboard(3),
    "checkerboard 12": checkerboard(12),
    "mirror": np.hstack([np.tile(RAMP, (96, 1)), np.tile(RAMP[::-1], (96, 1))]),
    "one pixel": np.pad(np.full((1, 1), 255, np.uint8), 47),
    "tiny": np.array([[9]], np.uint8),
}


@pytest.mark.parametrize("policy", REFERENCE)
@pytest.mark.parametrize("name", PICTURES)
def test_flat_and_symmetric_pictures_match_imagehash(policy, name):
    picture = Image.fromarray(PICTURES[name])
    assert image_hash(policy, picture) == bits(REFERENCE[policy](picture))


@pytest.mark.parametrize("policy", REFERENCE)
@pytest.mark.parametrize("seed", range(20))
def test_noise_and_smooth_pictures_match_imagehash(policy, seed):
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (72, 128), dtype=np.uint8)
    blurred = Image.fromarray(rng.integers(0, 256, (5, 7), dtype=np.uint8)).resize((300, 200), Image.Resampling.BICUBIC)
    for picture in (Image.fromarray(noise), blurred):
        assert image_hash(policy, picture) == bits(REFERENCE[policy](picture))


@settings(max_examples=150, deadline=None)
@given(
    levels=st.lists(st.integers(0, 255), min_size=1, max_size=4),
    rows=st.integers(1, 32),
    mirrored=st.booleans(),
    turned=st.booleans(),
)
def test_structured_thumbnails_match_imagehash(levels, rows, mirrored, turned):
    line = np.resize(np.repeat(np.array(levels, np.uint8), rows), 64)
    picture = np.tile(np.concatenate([line[:32], line[:32][::-1]]) if mirrored else line, (64, 1))
    picture = np.ascontiguousarray(picture.T if turned else picture)
    for policy, reference in REFERENCE.items():
        assert thumbnail_hash(policy, picture.tobytes(), 64) == bits(reference(Image.fromarray(picture)))


def test_the_plain_matrix_dct_differs_on_symmetric_pictures():
    """Coefficients equal to the median need the DCT of imagehash."""
    wrong = 0
    for picture in PICTURES.values():
        pixels = np.asarray(Image.fromarray(picture).resize((32, 32), Image.Resampling.LANCZOS))
        cosines = np.cos(np.pi * np.arange(8)[:, None] * (2 * np.arange(32)[None] + 1) / 64)
        low = (2 * cosines @ pixels.astype(float) @ (2 * cosines.T)).ravel()
        naive = int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")
        wrong += naive != phash_32x32(pixels)
    assert wrong > 0


def test_hamming_distance_counts_differing_bits():
    assert (
        hamming_distance_bits(0, 0),
        hamming_distance_bits(0b1011, 0b0001),
        hamming_distance_bits(0, (1 << 64) - 1),
    ) == (0, 2, 64)
