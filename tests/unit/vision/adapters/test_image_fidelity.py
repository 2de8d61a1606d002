"""Whole pictures keep orientation, colours and hash through decoding and encoding."""

from __future__ import annotations

import io

import imagehash
import numpy as np
import pytest
from PIL import Image

from services.vision.adapters.images import PillowImages
from services.vision.gating.verdict import Policy
from services.vision.ports import DecodedFrame, EncodedFrame, WholeFrame

ORIENTATION = 0x0112
# Transposition from the upright picture to the stored one, by EXIF orientation (EXIF 2.3, 4.6.4 A).
LAID_BY = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
RNG = np.random.default_rng(11)
# All corners differ, so that every rotation and reflection is visible.
UPRIGHT = Image.fromarray(RNG.integers(20, 236, (4, 6, 3), dtype=np.uint8)).resize((240, 160), Image.Resampling.BICUBIC)


@pytest.fixture
def images():
    images = PillowImages(pixels_max=4096 * 4096, threads=1)
    yield images
    images.close()


async def through(
    images: PillowImages, frame: WholeFrame, policy: Policy = Policy.CELLS, longest_px: int = 0
) -> tuple[DecodedFrame, EncodedFrame, np.ndarray]:
    """Return a decoded frame, its JPEG, and the colours of the JPEG."""
    found = await images.decode(frame, policy)
    encoded = await images.encode(found, longest_px)
    return found, encoded, np.asarray(Image.open(io.BytesIO(encoded.jpeg)).convert("RGB")).astype(int)


def as_file(picture: Image.Image, kind: str, **options: object) -> WholeFrame:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return WholeFrame(kind.lower(), buffer.getvalue(), 0, 0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", LAID_BY)
async def test_pictures_of_every_exif_orientation_are_upright(images, orientation, kind):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    laid_by = LAID_BY[orientation]
    stored = UPRIGHT if laid_by is None else UPRIGHT.transpose(laid_by)
    found, encoded, colours = await through(images, as_file(stored, kind, exif=exif, quality=95), Policy.PHASH)
    expected, _, _ = await through(images, as_file(UPRIGHT, "PNG"), Policy.PHASH)
    cells, expected_cells = (np.frombuffer(f.thumbnail.luma, np.uint8).astype(int) for f in (found, expected))
    assert np.abs(cells - expected_cells).mean() <= 1.5
    assert (found.thumbnail.width, found.thumbnail.height) == (encoded.width, encoded.height) == UPRIGHT.size
    assert (found.frame_hash ^ expected.frame_hash).bit_count() <= 4
    assert np.abs(colours - np.asarray(UPRIGHT)).mean() <= 3


@pytest.mark.parametrize("longest_px", [0, 60])
async def test_alpha_does_not_change_the_jpeg(images, longest_px):
    """A resize weighted by alpha would darken the colours."""
    pixels = np.asarray(UPRIGHT)
    alpha = RNG.integers(0, 256, (*pixels.shape[:2], 1), dtype=np.uint8)
    alpha[:80] = 0
    rgba = np.concatenate([pixels, alpha], axis=2)
    width, height = UPRIGHT.size
    _, of_rgb, _ = await through(images, WholeFrame("rgb24", pixels.tobytes(), width, height), longest_px=longest_px)
    _, of_rgba, colours = await through(
        images, WholeFrame("rgba", rgba.tobytes(), width, height), longest_px=longest_px
    )
    assert (of_rgba.width, of_rgba.height) == ((60, 40) if longest_px else (240, 160))
    assert of_rgba.jpeg == of_rgb.jpeg
    assert np.abs(colours - np.asarray(UPRIGHT.resize((of_rgba.width, of_rgba.height)))).mean() <= 4


@pytest.mark.parametrize(
    ("policy", "reference"),
    [
        (Policy.PHASH, imagehash.phash),
        (Policy.DHASH, imagehash.dhash),
        (Policy.AHASH, imagehash.average_hash),
    ],
)
@pytest.mark.parametrize("seed", range(4))
async def test_an_i420_frame_has_the_imagehash_of_its_luma_plane(images, policy, reference, seed):
    """The hash is of the luma plane as sent, without a conversion to RGB."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(16, 236, (5, 7), dtype=np.uint8))
    luma = np.asarray(small.resize((162, 90), Image.Resampling.BICUBIC))
    chroma = rng.integers(16, 241, 2 * 81 * 45, dtype=np.uint8)
    found = await images.decode(WholeFrame("i420", luma.tobytes() + chroma.tobytes(), 162, 90), policy)
    expected = reference(Image.fromarray(luma)).hash.ravel()
    assert found.frame_hash == int("".join("1" if bit else "0" for bit in expected), 2)
