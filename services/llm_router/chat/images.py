"""Image formats that requests may carry, and the size of an image from its header."""

from __future__ import annotations

import io
import struct
import warnings

from PIL import Image, UnidentifiedImageError

FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}
MIME_TYPES = tuple(FORMATS)
PIXELS_MAX = 50_000_000
# What Pillow raises for bytes that are no picture.
DECODE_ERRORS = (OSError, ValueError, SyntaxError, LookupError, EOFError, struct.error)


def size_of(data: bytes, mime_type: str) -> tuple[int, int]:
    """Width and height in pixels of `data`, whose pixels are not decoded. Raises ValueError with what is wrong."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=[FORMATS[mime_type]]) as image:
                width, height = image.size
                # A header says nothing of what follows it: of a PNG each piece is held against its checksum.
                image.verify()
    except Image.DecompressionBombError:
        raise ValueError(f"has too many pixels; send at most {PIXELS_MAX}") from None
    except UnidentifiedImageError:
        raise ValueError(f"is not a picture of type {mime_type}") from None
    except DECODE_ERRORS:
        raise ValueError(f"is a damaged picture of type {mime_type}, or not all of one") from None
    if width * height > PIXELS_MAX:
        raise ValueError(f"has {width} by {height} pixels; send at most {PIXELS_MAX}")
    return width, height
