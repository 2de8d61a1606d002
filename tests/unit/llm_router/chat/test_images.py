"""The size of an image is read from its header, without decoding pixels."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import pytest
from PIL import Image, ImageFile

from services.llm_router.chat.images import MIME_TYPES, size_of

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
def test_the_size_of_an_image_is_measured(mime_type: str):
    assert size_of(picture(mime_type), mime_type) == (64, 48)


GOOD = picture(PNG)


@pytest.mark.parametrize(
    ("data", "mime_type", "problem"),
    [
        pytest.param(GOOD[:33] + b"garbage" * 20, PNG, "damaged", id="garbage behind the header"),
        pytest.param(GOOD[:-20], PNG, "damaged", id="cut in its pixels"),
        pytest.param(GOOD[:-12], PNG, "damaged", id="without its end"),
        pytest.param(GOOD[:50] + b"\xff" + GOOD[51:], PNG, "damaged", id="a byte altered"),
        pytest.param(GOOD[:33] + GOOD[-12:], PNG, "image of type image/png", id="no pixels at all"),
        pytest.param(GOOD[:33], PNG, "is not an image of type image/png", id="the header alone"),
        pytest.param(b"", PNG, "is not an image of type image/png", id="nothing"),
        pytest.param(GOOD, JPEG, "is not an image of type image/jpeg", id="of another type"),
        pytest.param(png_of(10_000, 10_000), PNG, "has 10000 by 10000 pixels; send at most 50000000", id="large"),
        pytest.param(png_of(0, 48), PNG, "is not an image of type image/png", id="no width"),
        pytest.param(png_of(60_000, 60_000), PNG, "too many pixels; send at most 50000000", id="a bomb"),
    ],
)
def test_invalid_and_truncated_images_are_refused_with_the_reason(data: bytes, mime_type: str, problem: str):
    with pytest.raises(ValueError, match=problem):
        size_of(data, mime_type)


def test_measuring_decodes_nothing(decoded: list[Any]):
    size_of(GOOD, PNG)
    size_of(picture(JPEG), JPEG)
    assert decoded == []
