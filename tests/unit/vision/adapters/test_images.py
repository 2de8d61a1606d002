"""Pictures are decoded or refused with the name of the field."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from hocket.chassis.errors import InvalidArgument
from services.vision.adapters.images import RESPONSE_JPEG_BYTES_MAX, SCANS_MAX, PillowImages
from services.vision.gating.verdict import Policy
from services.vision.ports import WholeFrame

RNG = np.random.default_rng(3)
PICTURE = Image.fromarray(RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)).resize((90, 60), Image.Resampling.BICUBIC)


@pytest.fixture
def images():
    images = PillowImages(pixels_max=4096 * 4096, threads=1)
    yield images
    images.close()


def file_of(kind: str, picture: Image.Image = PICTURE, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def exif() -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = 3
    return tags


@pytest.mark.parametrize(
    ("mode", "kind"), [("L", "png"), ("P", "png"), ("LA", "png"), ("1", "png"), ("RGBA", "png"), ("L", "jpeg")]
)
async def test_grey_and_palette_modes_are_decoded(images, mode, kind):
    found = await images.decode(WholeFrame(kind, file_of(kind.upper(), PICTURE.convert(mode)), 0, 0), Policy.CELLS)
    assert (found.thumbnail.width, found.thumbnail.height, found.frame_hash) == (90, 60, None)
    assert len(set(found.thumbnail.luma)) > 1


async def test_a_small_raw_frame_is_decoded(images):
    grey = bytes([100]) * (16 * 16) + bytes([128]) * 128
    found = await images.decode(WholeFrame("i420", grey, 16, 16), Policy.AHASH)
    assert found.thumbnail.luma[0] == 98
    assert found.frame_hash == 0
    assert (await images.encode(found, 0)).jpeg.startswith(b"\xff\xd8\xff")


async def test_the_first_picture_of_an_mpo_file_is_decoded(images):
    data = file_of("MPO", PICTURE, save_all=True, append_images=[PICTURE.resize((45, 30))])
    found = await images.decode(WholeFrame("jpeg", data, 0, 0), Policy.CELLS)
    assert (found.thumbnail.width, found.thumbnail.height) == (90, 60)


async def test_a_jpeg_with_too_many_scans_is_refused(images):
    whole = file_of("JPEG", progressive=True)
    start = whole.rindex(b"\xff\xda")
    bomb = whole[:start] + whole[start:-2] * SCANS_MAX + whole[-2:]
    with pytest.raises(InvalidArgument) as caught:
        await images.decode(WholeFrame("jpeg", bomb, 0, 0), Policy.CELLS)
    assert caught.value.reason == "TOO_LARGE"
    assert "scans" in caught.value.message
    await images.decode(WholeFrame("jpeg", whole, 0, 0), Policy.CELLS)


async def test_a_jpeg_above_the_message_limit_is_encoded_at_lower_quality(images):
    noise = np.random.default_rng(5).integers(0, 256, 2500 * 2500 * 3, np.uint8).tobytes()
    found = await images.decode(WholeFrame("rgb24", noise, 2500, 2500), Policy.CELLS)
    encoded = await images.encode(found, 0)
    assert len(encoded.jpeg) <= RESPONSE_JPEG_BYTES_MAX
    assert (encoded.width, encoded.height) == (2500, 2500)
    small = await images.encode(found, 100)
    assert (small.width, small.height) == (100, 100)
