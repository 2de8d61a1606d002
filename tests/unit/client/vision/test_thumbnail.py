"""Thumbnails are exact cell means, upright and in full range, for every size, stride and colour format."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hocket.chassis.errors import InvalidArgument
from hocket.client.vision import I420Frame, RgbFrame, thumbnail, thumbnail_from_i420
from hocket.client.vision.frame import ROTATIONS

SIZES = [(1280, 720), (640, 480), (854, 480), (320, 180), (719, 401), (65, 64), (63, 200), (16, 16), (17, 3), (1, 1)]


def i420(width: int, height: int, seed: int = 0, *, low: int = 16, high: int = 235) -> bytes:
    half = ((width + 1) // 2) * ((height + 1) // 2)
    rng = np.random.default_rng(seed)
    return rng.integers(low, high, width * height + 2 * half, dtype=np.uint8).tobytes()


def exact_means(plane: np.ndarray, cells: int) -> np.ndarray:
    """Return area means by definition: of the plane enlarged until cells hold whole pixels."""
    height, width = plane.shape
    rows = np.repeat(plane.astype(float), cells, axis=0).reshape(cells, height, width).mean(axis=1)
    return np.repeat(rows, cells, axis=1).reshape(cells, cells, width).mean(axis=2)


def luma_of(frame_thumbnail) -> np.ndarray:
    return np.frombuffer(frame_thumbnail.luma, np.uint8).reshape(64, 64).astype(int)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_luma_cells_are_area_means_for_any_size(width, height):
    frame = I420Frame(i420(width, height), width, height, full_range=True)
    expected = exact_means(frame.planes[0], 64)
    assert np.abs(luma_of(thumbnail(frame)) - expected).max() <= 0.51


def test_strides_do_not_change_the_thumbnail():
    width, height, packed = 642, 362, i420(642, 362)
    planes = I420Frame(packed, width, height).planes
    strides = (704, 384, 352)
    padded = b"".join(
        np.pad(plane, ((0, 0), (0, stride - plane.shape[1])), constant_values=255).tobytes()
        for plane, stride in zip(planes, strides, strict=True)
    )
    frame = I420Frame(padded, width, height, stride_y=704, stride_u=384, stride_v=352)
    assert thumbnail(frame) == thumbnail_from_i420(packed, width, height)


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_a_rotated_frame_has_the_thumbnail_of_the_upright_one(rotation):
    upright = np.frombuffer(i420(640, 320), np.uint8)[: 640 * 320].reshape(320, 640)
    # Turned back by the rotation, as a camera on its side sends it.
    sent = np.ascontiguousarray(np.rot90(upright, k=rotation // 90))
    height, width = sent.shape
    grey = bytes([128]) * (2 * (width // 2) * (height // 2))
    expected = thumbnail_from_i420(upright.tobytes() + grey, 640, 320)
    found = thumbnail_from_i420(sent.tobytes() + grey, width, height, rotation=rotation)
    assert (found.width, found.height) == (640, 320)
    assert np.abs(luma_of(found) - luma_of(expected)).max() <= 1


def test_a_resolution_switch_stays_within_the_noise_floor():
    """Simulcast: one picture with hard edges at 720, 360 and 180 lines."""
    rng = np.random.default_rng(3)
    large = np.kron(rng.integers(0, 2, (180, 320)) * 219 + 16, np.ones((4, 4))).astype(np.uint8)
    cells = []
    for scale in (4, 2, 1):
        height, width = 180 * scale, 320 * scale
        plane = large.reshape(height, 4 // scale, width, 4 // scale).mean(axis=(1, 3)).astype(np.uint8)
        chroma = bytes([128]) * (2 * (width // 2) * (height // 2))
        cells.append(luma_of(thumbnail_from_i420(plane.tobytes() + chroma, width, height)))
    assert max(np.abs(cells[0] - other).max() for other in cells[1:]) <= 3


def test_limited_range_is_expanded_to_full_range():
    def levels(y: int, u: int, v: int):
        of = thumbnail_from_i420(bytes([y]) * 4096 + bytes([u]) * 1024 + bytes([v]) * 1024, 64, 64)
        return of.luma[0], of.chroma[0], of.chroma[-1]

    assert levels(16, 128, 128) == (0, 128, 128)
    assert levels(235, 16, 240) == (255, 0, 255)
    assert levels(3, 2, 254) == (0, 0, 255)


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (10, 200, 90), (255, 255, 255), (0, 0, 0)])
def test_rgb_rgba_and_i420_of_one_colour_agree(colour):
    red, green, blue = (c / 255 for c in colour)
    # ITU-R BT.601.
    y = 16 + 65.481 * red + 128.553 * green + 24.966 * blue
    u = 128 - 37.797 * red - 74.203 * green + 112 * blue
    v = 128 + 112 * red - 93.786 * green - 18.214 * blue
    planes = bytes([round(y)]) * 4096 + bytes([round(u)]) * 1024 + bytes([round(v)]) * 1024
    from_i420 = thumbnail_from_i420(planes, 64, 64)
    from_rgb = thumbnail(RgbFrame(bytes(colour) * 4096, 64, 64))
    from_rgba = thumbnail(RgbFrame(bytes((*colour, 7)) * 4096, 64, 64, 4))
    assert from_rgb == from_rgba
    for a, b in ((from_i420.luma, from_rgb.luma), (from_i420.chroma, from_rgb.chroma)):
        assert max(abs(x - y) for x, y in zip(a, b, strict=True)) <= 1


@pytest.mark.parametrize("size", [*SIZES, (5440, 200), (5504, 200)])
def test_alpha_does_not_change_the_thumbnail(size):
    width, height = size
    # Nearly white, so that a carry from one channel's sum into the next would show.
    pixels = np.random.default_rng(4).integers(200, 256, (height, width, 4), dtype=np.uint8)
    pixels[: height // 2] = 255
    from_rgb = thumbnail(RgbFrame(pixels[:, :, :3].tobytes(), width, height))
    from_rgba = thumbnail(RgbFrame(pixels.tobytes(), width, height, 4))
    for a, b in ((from_rgb.luma, from_rgba.luma), (from_rgb.chroma, from_rgba.chroma)):
        # The same sums, rounded in another order.
        assert max(abs(x - y) for x, y in zip(a, b, strict=True)) <= 1
    assert height < 2 or from_rgba.luma[0] == 255


def test_sampled_rgb_rows_are_centred_in_their_cell():
    """On a vertical ramp, rows sampled off centre would darken every cell."""
    slope = np.repeat(np.linspace(0, 255, 704).astype(np.uint8)[:, None], 128, axis=1)
    from_rgb = luma_of(thumbnail(RgbFrame(np.repeat(slope[:, :, None], 3, axis=2).tobytes(), 128, 704)))
    assert np.abs(from_rgb - exact_means(slope, 64)).max() <= 0.8


@settings(max_examples=60, deadline=None)
@given(width=st.integers(1, 300), height=st.integers(1, 300), full=st.booleans(), rotation=st.sampled_from(ROTATIONS))
def test_every_size_gives_a_complete_thumbnail(width, height, full, rotation):
    found = thumbnail(I420Frame(i420(width, height), width, height, full_range=full, rotation=rotation))
    assert (len(found.luma), len(found.chroma)) == (4096, 512)
    assert {found.width, found.height} == {width, height}


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"data": b"short"}, "data"),
        ({"width": 0}, "width"),
        ({"height": 9000}, "height"),
        ({"rotation": 45}, "rotation"),
        ({"stride_y": 10}, "stride_y"),
        ({"stride_u": 3}, "stride_u"),
    ],
)
def test_a_frame_larger_than_its_buffer_is_refused(values, field):
    with pytest.raises(InvalidArgument) as caught:
        I420Frame(**{"data": i420(64, 64), "width": 64, "height": 64, **values})
    assert list(caught.value.fields) == [field]


@pytest.mark.parametrize(("size", "depth"), [(64 * 64 * 3 - 1, 3), (64 * 64 * 3, 4), (64 * 64 * 2, 2)])
def test_pixels_of_the_wrong_size_are_refused(size, depth):
    with pytest.raises(InvalidArgument):
        RgbFrame(bytes(size), 64, 64, depth)


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (642, 362), (33, 35), (17, 9)])
def test_adjacent_and_separate_chroma_planes_agree(width, height):
    packed = I420Frame(i420(width, height), width, height)
    y, u, v = packed.planes
    half_width = u.shape[1]
    apart = b"".join((y.tobytes(), np.pad(u, ((0, 0), (0, 6))).tobytes(), v.tobytes()))
    assert thumbnail(I420Frame(apart, width, height, stride_u=half_width + 6)) == thumbnail(packed)


def test_chroma_cells_are_means_of_their_planes():
    packed = I420Frame(i420(1280, 720), 1280, 720, full_range=True)
    found = np.frombuffer(thumbnail(packed).chroma, np.uint8).reshape(2, 16, 16).astype(int)
    for cells, plane in zip(found, packed.planes[1:], strict=True):
        # Every third row is read, which moves the mean of pure noise by up to two levels.
        assert np.abs(cells - exact_means(plane[:352], 16)).mean() < 4
