"""The embedded answerer's view of an image: brightness and main colour, decoded only within a pixel limit."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import pytest
from PIL import Image, ImageFile

from services.llm_router.chat.images import MIME_TYPES
from services.llm_router.chat.request import ImagePart
from services.llm_router.embedded.answers import ImageSummary
from services.llm_router.embedded.image_summary import DECODED_PIXELS_MAX, summarize_image

PNG, JPEG = "image/png", "image/jpeg"
FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}


def picture(mime_type: str, size: tuple[int, int] = (64, 48), mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, "red").save(out, FORMATS[mime_type])
    return out.getvalue()


def png_of(width: int, height: int) -> bytes:
    """A PNG that says it has this size and holds no pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = [(b"IHDR", head), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in rows]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every picture whose pixels are decoded while the test runs."""
    seen: list[Any] = []
    load = ImageFile.ImageFile.load

    def noted(image: ImageFile.ImageFile) -> Any:
        seen.append(image.size)
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", noted)
    return seen


GOOD = picture(PNG)


@pytest.mark.parametrize("mime_type", MIME_TYPES)
def test_the_main_colour_of_an_image_is_named(mime_type: str):
    seen = summarize_image(ImagePart(picture(mime_type), mime_type, 64, 48))
    assert (seen.width_px, seen.height_px, seen.colour) == (64, 48, "red")


@pytest.mark.parametrize("mode", ["RGBA", "P", "L", "1"])
def test_every_png_mode_is_decoded(mode: str):
    assert summarize_image(ImagePart(picture(PNG, mode=mode), PNG, 64, 48)).brightness is not None


def test_an_image_with_too_many_pixels_is_not_decoded(decoded: list[Any]):
    width, height = 4000, DECODED_PIXELS_MAX // 4000
    assert summarize_image(ImagePart(picture(PNG, (width, height)), PNG, width, height)).colour == "red"
    assert decoded
    decoded.clear()
    seen = summarize_image(ImagePart(picture(PNG, (width, height + 1)), PNG, width, height + 1))
    assert (seen.width_px, seen.height_px, seen.brightness) == (width, height + 1, None)
    assert decoded == []


def test_a_large_jpeg_is_decoded_at_reduced_size(decoded: list[Any]):
    assert summarize_image(ImagePart(picture(JPEG, (6000, 4000)), JPEG, 6000, 4000)).colour == "red"
    assert decoded
    assert max(w * h for w, h in decoded) < DECODED_PIXELS_MAX


@pytest.mark.parametrize("data", [b"", GOOD[:33] + b"garbage" * 20, png_of(60_000, 60_000), png_of(64, 48)])
def test_undecodable_images_have_unknown_brightness_and_colour(data: bytes):
    assert summarize_image(ImagePart(data, PNG, 64, 48)) == ImageSummary(64, 48, None, "")
