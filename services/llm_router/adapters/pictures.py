"""What can be told of a picture without a model: whether it is one, its size, its brightness and main colour."""

from __future__ import annotations

import colorsys
import io
import warnings

from PIL import Image, UnidentifiedImageError

from services.llm_router.answering import Look
from services.llm_router.conversation import Picture

_FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}
MIME_TYPES = tuple(_FORMATS)
PIXELS_MAX = 50_000_000
_SAMPLE_PX = 32


def size_of(data: bytes, mime_type: str) -> tuple[int, int] | None:
    """Width and height in pixels from the header of `data`, or None when it is no picture of that type."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=[_FORMATS[mime_type]]) as image:
                width, height = image.size
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return (width, height) if width > 0 and height > 0 and width * height <= PIXELS_MAX else None


def look(picture: Picture) -> Look:
    """Size, mean brightness (0..1) and the main colour of `picture`, from a sample of 32x32 pixels."""
    try:
        with Image.open(io.BytesIO(picture.data), formats=[_FORMATS[picture.mime_type]]) as image:
            image.draft("RGB", (_SAMPLE_PX, _SAMPLE_PX))
            sample = image.convert("RGB").resize((_SAMPLE_PX, _SAMPLE_PX), Image.Resampling.BOX)
    except (OSError, ValueError, SyntaxError):
        return Look(picture.width_px, picture.height_px, 0.5, "unknown in colour")
    raw = sample.tobytes()
    pixels = [(raw[i], raw[i + 1], raw[i + 2]) for i in range(0, len(raw), 3)]
    brightness = sum(0.299 * r + 0.587 * g + 0.114 * b for r, g, b in pixels) / len(pixels) / 255
    names = [_colour(*pixel) for pixel in pixels]
    return Look(picture.width_px, picture.height_px, brightness, max(sorted(set(names)), key=names.count))


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
