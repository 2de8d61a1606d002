"""Encodes frames to JPEG, I420 directly from its planes."""

from __future__ import annotations

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from hocket.client.vision.frame import Frame, I420Frame, Plane, upright

QUALITY = 85


def encode_jpeg(frame: Frame, *, quality: int = QUALITY) -> bytes:
    """Return a JPEG of the upright frame in full range, with 4:2:0 chroma.

    Takes 2 to 6 ms for 720p and releases the GIL for most of that time.

    Args:
        frame: Frame to encode.
        quality: JPEG quality, 1 to 100.
    """
    if isinstance(frame, I420Frame):
        y, u, v = (upright(plane, frame.rotation) for plane in frame.planes)
        if not frame.full_range:
            y, u, v = _luma_to_full(y), _chroma_to_full(u), _chroma_to_full(v)
        planes = (np.ascontiguousarray(plane) for plane in (y, u, v))
        of_planes: bytes = simplejpeg.encode_jpeg_yuv_planes(*planes, quality=quality)
        return of_planes
    pixels = upright(frame.pixels, frame.rotation)
    space = "RGB" if frame.bytes_per_pixel == 3 else "RGBA"
    of_pixels: bytes = simplejpeg.encode_jpeg(pixels, quality=quality, colorspace=space, colorsubsampling="420")
    return of_pixels


def _luma_to_full(plane: Plane) -> Plane:
    # JFIF is full range and video 16..235; unconverted, black would be grey. (Y - 16) * 255 / 219 in fixed point.
    return _scaled(np.clip(plane, 16, 235) - np.uint8(16), 298, 128)


def _chroma_to_full(plane: Plane) -> Plane:
    # (C - 128) * 255 / 224 + 128, rounded; with 304 grey stays 128 exactly.
    return _scaled(np.clip(plane, 16, 240) - np.uint8(16), 291, 304)


def _scaled(plane: Plane, factor: int, offset: int) -> Plane:
    wide: NDArray[np.uint16] = np.multiply(plane, np.uint16(factor), dtype=np.uint16)
    wide += np.uint16(offset)
    wide >>= np.uint16(8)
    return wide.astype(np.uint8)
