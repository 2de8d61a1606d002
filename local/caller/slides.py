"""Slides for the shared screen, drawn in advance as I420 frames, so that publishing them needs little CPU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

WIDTH_PX, HEIGHT_PX = 1280, 720

# ITU-R BT.601, limited range: rows Y, U, V over R, G, B in 0 to 255.
_BT601 = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]) / 255
_OFFSETS = np.array([16.0, 128.0, 128.0])


@dataclass(frozen=True, slots=True)
class Slide:
    """A slide.

    Attributes:
        title: heading.
        lines: bullet points.
        background: RGB colour, 0 to 255 each.
        word: an emphasised word; "" for none.
    """

    title: str
    lines: tuple[str, ...]
    background: tuple[int, int, int]
    word: str = ""


def draw_slide(slide: Slide) -> Image.Image:
    """Return the slide as an RGB image of 1280x720 pixels."""
    image = Image.new("RGB", (WIDTH_PX, HEIGHT_PX), slide.background)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, WIDTH_PX, 110), fill=(250, 250, 250))
    pen.text((60, 25), slide.title, font=ImageFont.load_default(56), fill=(20, 20, 20))
    for row, line in enumerate(slide.lines):
        pen.text((90, 170 + row * 70), f"• {line}", font=ImageFont.load_default(38), fill=(245, 245, 245))
    if slide.word:
        pen.text((820, 590), slide.word, font=ImageFont.load_default(72), fill=(255, 220, 60))
    return image


def to_i420(image: Image.Image) -> bytes:
    """Return the Y, U and V planes of an RGB image with even sides; chroma is the mean of 2x2 pixels."""
    rgb = np.asarray(image, np.float64)
    height, width = rgb.shape[:2]
    yuv = rgb @ _BT601.T + _OFFSETS
    chroma = yuv[:, :, 1:].reshape(height // 2, 2, width // 2, 2, 2).mean(axis=(1, 3))
    planes: list[NDArray[np.float64]] = [yuv[:, :, 0], chroma[:, :, 0], chroma[:, :, 1]]
    return b"".join(np.clip(np.rint(plane), 0, 255).astype(np.uint8).tobytes() for plane in planes)
