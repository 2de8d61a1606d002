"""Damaged pictures are decoded or refused by their field, whatever byte is wrong."""

from __future__ import annotations

import asyncio
import io
import random
import warnings

import numpy as np
import pytest
from PIL import Image

from hocket.chassis.errors import InvalidArgument
from services.vision.adapters.images import PillowImages
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


SEEDS = {
    "jpeg": [file_of("JPEG"), file_of("JPEG", progressive=True), file_of("JPEG", exif=exif())],
    "png": [file_of("PNG"), file_of("PNG", PICTURE.convert("P")), file_of("PNG", PICTURE.convert("LA"))],
    "webp": [file_of("WEBP"), file_of("WEBP", lossless=True), file_of("WEBP", exif=exif())],
}


async def read_or_refuse(images: PillowImages, frame: WholeFrame) -> str:
    """Return "read", or the field that a refusal names."""
    try:
        found = await images.decode(frame, Policy.PHASH)
    except InvalidArgument as error:
        return ",".join(error.fields)
    assert (await images.encode(found, 32)).jpeg.startswith(b"\xff\xd8\xff")
    return "read"


@pytest.mark.parametrize("encoding", SEEDS)
def test_mutated_files_are_decoded_or_refused(images, encoding):
    random_ = random.Random(7)
    outcomes = set()
    with warnings.catch_warnings():
        # Pillow warns of unusual metadata and continues.
        warnings.simplefilter("ignore")
        for _ in range(400):
            data = bytearray(random_.choice(SEEDS[encoding]))
            for _ in range(random_.choice([1, 1, 2, 8])):
                data[random_.randrange(len(data))] = random_.randrange(256)
            if random_.random() < 0.3:
                del data[random_.randrange(len(data)) :]
            frame = WholeFrame(encoding, bytes(data), 0, 0)
            outcomes.add(asyncio.run(read_or_refuse(images, frame)))
    assert outcomes == {"read", "frame.data"}
