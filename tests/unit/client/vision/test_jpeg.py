"""Encoded frames have the right colours, size and rotation, as another decoder reads them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from hocket.client.vision import I420Frame, RgbFrame, encode_jpeg
from hocket.client.vision.frame import ROTATIONS

COLOURS = [
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (0, 0, 0),
    (255, 255, 255),
    (128, 128, 128),
    (10, 200, 90),
    (240, 20, 160),
]


def planes_of(colour: tuple[int, int, int], *, full_range: bool) -> bytes:
    """Return 64x64 pixels of one colour in I420, by ITU-R BT.601."""
    red, green, blue = (c / 255 for c in colour)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    u, v = (blue - luma) / 1.772, (red - luma) / 1.402
    scale_y, scale_c, low = (255, 255, 0) if full_range else (219, 224, 16)
    levels = (low + scale_y * luma, 128 + scale_c * u, 128 + scale_c * v)
    y, u8, v8 = (min(255, max(0, round(level))) for level in levels)
    return bytes([y]) * 4096 + bytes([u8]) * 1024 + bytes([v8]) * 1024


def decoded(jpeg: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(int)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("colour", COLOURS)
def test_colours_survive_encoding(colour, full_range):
    jpeg = encode_jpeg(I420Frame(planes_of(colour, full_range=full_range), 64, 64, full_range=full_range))
    assert np.abs(decoded(jpeg)[20, 20] - colour).max() <= 4


def test_black_and_white_survive_encoding():
    ramp = np.tile(np.linspace(16, 235, 256).astype(np.uint8), (64, 1))
    jpeg = encode_jpeg(I420Frame(ramp.tobytes() + bytes([128]) * (2 * 128 * 32), 256, 64))
    row = decoded(jpeg)[32, :, 0]
    assert row[:8].max() <= 10
    assert row[-8:].min() >= 245
    assert np.abs(row - np.linspace(0, 255, 256)).max() <= 5


def test_i420_and_rgb_of_one_picture_encode_alike():
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(60, 196, (9, 16, 3), dtype=np.uint8))
    rgb = np.asarray(small.resize((160, 90), Image.Resampling.BICUBIC))
    red, green, blue = np.moveaxis(rgb.astype(float), 2, 0)
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    halves = [c.reshape(45, 2, 80, 2).mean(axis=(1, 3)) for c in ((blue - y) / 1.772, (red - y) / 1.402)]
    planes = [16 + y * 219 / 255, *(128 + half * 224 / 255 for half in halves)]
    data = b"".join(np.rint(plane).astype(np.uint8).tobytes() for plane in planes)
    from_planes = decoded(encode_jpeg(I420Frame(data, 160, 90)))
    from_pixels = decoded(encode_jpeg(RgbFrame(rgb.tobytes(), 160, 90)))
    difference = from_planes - from_pixels
    assert np.abs(difference).mean() <= 1.5
    # Rounding to 8 bits shifts no channel.
    assert np.abs(difference.mean(axis=(0, 1))).max() <= 0.5


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize(("width", "height"), [(64, 48), (17, 33), (1, 1), (641, 3)])
def test_odd_sizes_and_rotations_encode_upright(width, height, rotation):
    half = ((width + 1) // 2) * ((height + 1) // 2)
    frame = I420Frame(bytes(width * height + 2 * half), width, height, rotation=rotation)
    assert Image.open(io.BytesIO(encode_jpeg(frame))).size == frame.upright_size


def test_rotation_is_clockwise():
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:, :32] = 255
    turned = decoded(encode_jpeg(RgbFrame(pixels.tobytes(), 64, 32, rotation=90)))
    # A clockwise turn moves the bright left half to the top.
    assert (turned[4, 16].min(), turned[60, 16].max()) == (255, 0)


def test_rgba_is_encoded_without_alpha():
    pixels = np.full((16, 16, 4), (10, 200, 90, 0), np.uint8)
    assert np.abs(decoded(encode_jpeg(RgbFrame(pixels.tobytes(), 16, 16, 4)))[8, 8] - (10, 200, 90)).max() <= 4
