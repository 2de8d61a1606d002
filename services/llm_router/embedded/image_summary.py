"""Size, brightness and main colour of an image, computed without a model."""

from __future__ import annotations

import colorsys
import io

from PIL import Image

from services.llm_router.chat.images import DECODE_ERRORS, FORMATS
from services.llm_router.chat.request import ImagePart
from services.llm_router.embedded.answers import ImageSummary

# A single-colour image of a few kilobytes decodes to four bytes a pixel: larger ones are not decoded.
DECODED_PIXELS_MAX = 12_000_000
_SAMPLE_PX = 32


def summarize_image(picture: ImagePart) -> ImageSummary:
    """Measure size, mean brightness (0..1) and main colour from a sample of 32x32 pixels."""
    try:
        with Image.open(io.BytesIO(picture.data), formats=[FORMATS[picture.mime_type]]) as image:
            # Decodes a JPEG at an eighth of its size.
            image.draft("RGB", (_SAMPLE_PX, _SAMPLE_PX))
            if image.width * image.height > DECODED_PIXELS_MAX:
                return _unseen(picture)
            whole = image if image.mode == "RGB" else image.convert("RGB")
            sample = whole.resize((_SAMPLE_PX, _SAMPLE_PX), Image.Resampling.BOX)
    except (*DECODE_ERRORS, Image.DecompressionBombError):
        return _unseen(picture)
    raw = sample.tobytes()
    pixels = [(raw[i], raw[i + 1], raw[i + 2]) for i in range(0, len(raw), 3)]
    brightness = sum(0.299 * r + 0.587 * g + 0.114 * b for r, g, b in pixels) / len(pixels) / 255
    names = [_colour(*pixel) for pixel in pixels]
    return ImageSummary(picture.width_px, picture.height_px, brightness, max(sorted(set(names)), key=names.count))


def _unseen(picture: ImagePart) -> ImageSummary:
    return ImageSummary(picture.width_px, picture.height_px, None, "")


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
