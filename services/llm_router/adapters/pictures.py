"""What can be told of a picture without a model: whether it is one, its size, its brightness and main colour."""

from __future__ import annotations

import colorsys
import io
import struct
import warnings

from PIL import Image, UnidentifiedImageError

from services.llm_router.answering import Look
from services.llm_router.conversation import Picture

_FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}
MIME_TYPES = tuple(_FORMATS)
PIXELS_MAX = 50_000_000
# A picture of one colour takes a few kilobytes and, decoded, four bytes a pixel: more is not looked at.
DECODED_PIXELS_MAX = 12_000_000
_SAMPLE_PX = 32
# What Pillow raises for bytes that are no picture.
_DAMAGED = (OSError, ValueError, SyntaxError, LookupError, EOFError, struct.error)


def size_of(data: bytes, mime_type: str) -> tuple[int, int]:
    """Width and height in pixels of `data`, whose pixels are not decoded. Raises ValueError with what is wrong."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=[_FORMATS[mime_type]]) as image:
                width, height = image.size
                # A header says nothing of what follows it: of a PNG each piece is held against its checksum.
                image.verify()
    except Image.DecompressionBombError:
        raise ValueError(f"has too many pixels; send at most {PIXELS_MAX}") from None
    except UnidentifiedImageError:
        raise ValueError(f"is not a picture of type {mime_type}") from None
    except _DAMAGED:
        raise ValueError(f"is a damaged picture of type {mime_type}, or not all of one") from None
    if width * height > PIXELS_MAX:
        raise ValueError(f"has {width} by {height} pixels; send at most {PIXELS_MAX}")
    return width, height


def look(picture: Picture) -> Look:
    """Size, mean brightness (0..1) and the main colour of `picture`, from a sample of 32x32 pixels."""
    try:
        with Image.open(io.BytesIO(picture.data), formats=[_FORMATS[picture.mime_type]]) as image:
            # A JPEG is then read at an eighth of its size.
            image.draft("RGB", (_SAMPLE_PX, _SAMPLE_PX))
            if image.width * image.height > DECODED_PIXELS_MAX:
                return _unseen(picture)
            whole = image if image.mode == "RGB" else image.convert("RGB")
            sample = whole.resize((_SAMPLE_PX, _SAMPLE_PX), Image.Resampling.BOX)
    except (*_DAMAGED, Image.DecompressionBombError):
        return _unseen(picture)
    raw = sample.tobytes()
    pixels = [(raw[i], raw[i + 1], raw[i + 2]) for i in range(0, len(raw), 3)]
    brightness = sum(0.299 * r + 0.587 * g + 0.114 * b for r, g, b in pixels) / len(pixels) / 255
    names = [_colour(*pixel) for pixel in pixels]
    return Look(picture.width_px, picture.height_px, brightness, max(sorted(set(names)), key=names.count))


def _unseen(picture: Picture) -> Look:
    return Look(picture.width_px, picture.height_px, None, "")


def _colour(red: int, green: int, blue: int) -> str:
    hue, saturation, value = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
    if value < 0.2:
        return "black"
    if saturation < 0.15:
        return "white" if value > 0.85 else "grey"
    for end, name in ((15, "red"), (45, "orange"), (70, "yellow"), (165, "green"), (260, "blue"), (320, "purple")):
        if hue * 360 < end:
            return name
    return "red"
