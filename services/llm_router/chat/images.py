"""Image formats that requests may carry, and the size of an image from its header."""

from __future__ import annotations

import io
import struct
import warnings

from PIL import Image, UnidentifiedImageError

FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}
MIME_TYPES = tuple(FORMATS)
PIXELS_MAX = 50_000_000
# Exceptions of Pillow for invalid image data.
DECODE_ERRORS = (OSError, ValueError, SyntaxError, LookupError, EOFError, struct.error)


def size_of(data: bytes, mime_type: str) -> tuple[int, int]:
    """Read width and height of an image in pixels from its header, without decoding.

    Args:
        data: The file.
        mime_type: One of `MIME_TYPES`.

    Raises:
        ValueError: The data is no such image, is damaged, or has more than `PIXELS_MAX` pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=[FORMATS[mime_type]]) as image:
                width, height = image.size
                # Checks the checksum of each PNG chunk; `open` reads the header only.
                image.verify()
    except Image.DecompressionBombError:
        raise ValueError(f"has too many pixels; send at most {PIXELS_MAX}") from None
    except UnidentifiedImageError:
        raise ValueError(f"is not an image of type {mime_type}") from None
    except DECODE_ERRORS:
        raise ValueError(f"is a damaged or truncated image of type {mime_type}") from None
    if width * height > PIXELS_MAX:
        raise ValueError(f"has {width} by {height} pixels; send at most {PIXELS_MAX}")
    return width, height
