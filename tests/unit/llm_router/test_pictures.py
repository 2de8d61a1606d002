"""Pictures are measured without being decoded, and only those of bearable size are decoded."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import pytest
from PIL import Image, ImageFile

from services.llm_router.adapters.pictures import DECODED_PIXELS_MAX, MIME_TYPES, look, size_of
from services.llm_router.answering import Look
from services.llm_router.conversation import Picture

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


@pytest.mark.parametrize("mime_type", MIME_TYPES)
def test_a_picture_is_measured(mime_type: str):
    assert size_of(picture(mime_type), mime_type) == (64, 48)


GOOD = picture(PNG)


@pytest.mark.parametrize(
    ("data", "mime_type", "problem"),
    [
        pytest.param(GOOD[:33] + b"garbage" * 20, PNG, "damaged", id="garbage behind the header"),
        pytest.param(GOOD[:-20], PNG, "damaged", id="cut in its pixels"),
        pytest.param(GOOD[:-12], PNG, "damaged", id="without its end"),
        pytest.param(GOOD[:50] + b"\xff" + GOOD[51:], PNG, "damaged", id="a byte altered"),
        pytest.param(GOOD[:33] + GOOD[-12:], PNG, "picture of type image/png", id="no pixels at all"),
        pytest.param(GOOD[:33], PNG, "is not a picture of type image/png", id="the header alone"),
        pytest.param(b"", PNG, "is not a picture of type image/png", id="nothing"),
        pytest.param(GOOD, JPEG, "is not a picture of type image/jpeg", id="of another type"),
        pytest.param(png_of(10_000, 10_000), PNG, "has 10000 by 10000 pixels; send at most 50000000", id="large"),
        pytest.param(png_of(0, 48), PNG, "is not a picture of type image/png", id="no width"),
        pytest.param(png_of(60_000, 60_000), PNG, "too many pixels; send at most 50000000", id="a bomb"),
    ],
)
def test_what_is_no_whole_picture_is_refused_with_what_is_wrong(data: bytes, mime_type: str, problem: str):
    with pytest.raises(ValueError, match=problem):
        size_of(data, mime_type)


@pytest.mark.parametrize("mime_type", MIME_TYPES)
def test_the_colour_of_a_picture_is_seen(mime_type: str):
    seen = look(Picture(picture(mime_type), mime_type, 64, 48))
    assert (seen.width_px, seen.height_px, seen.colour) == (64, 48, "red")


@pytest.mark.parametrize("mode", ["RGBA", "P", "L", "1"])
def test_every_kind_of_png_is_seen(mode: str):
    assert look(Picture(picture(PNG, mode=mode), PNG, 64, 48)).brightness is not None


def test_measuring_decodes_nothing(decoded: list[Any]):
    size_of(GOOD, PNG)
    size_of(picture(JPEG), JPEG)
    assert decoded == []


def test_a_picture_of_too_many_pixels_is_not_decoded(decoded: list[Any]):
    width, height = 4000, DECODED_PIXELS_MAX // 4000
    assert look(Picture(picture(PNG, (width, height)), PNG, width, height)).colour == "red"
    assert decoded
    decoded.clear()
    seen = look(Picture(picture(PNG, (width, height + 1)), PNG, width, height + 1))
    assert (seen.width_px, seen.height_px, seen.brightness) == (width, height + 1, None)
    assert decoded == []


def test_a_large_jpeg_is_seen_since_it_is_read_small(decoded: list[Any]):
    assert look(Picture(picture(JPEG, (6000, 4000)), JPEG, 6000, 4000)).colour == "red"
    assert decoded
    assert max(w * h for w, h in decoded) < DECODED_PIXELS_MAX


@pytest.mark.parametrize("data", [b"", GOOD[:33] + b"garbage" * 20, png_of(60_000, 60_000), png_of(64, 48)])
def test_what_cannot_be_seen_is_said_to_be_unknown(data: bytes):
    assert look(Picture(data, PNG, 64, 48)) == Look(64, 48, None, "")
