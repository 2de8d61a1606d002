"""Frames as callers hold them: planes or interleaved pixels over a buffer, never copied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hocket.chassis.errors import invalid_field

Buffer = bytes | bytearray | memoryview
Plane = NDArray[np.uint8]

SIDE_PX_MAX = 8192
ROTATIONS = (0, 90, 180, 270)


@dataclass(frozen=True)
class I420Frame:
    """Planes Y, U, V one behind the other, as WebRTC decoders give them; U and V at half size, rounded up.

    Strides are bytes from one row to the next; 0 means the row's own width. `rotation` is the clockwise turn in degrees
    that makes the picture upright, as WebRTC signals it. `full_range` is for sources that use 0 to 255; video decoders
    give 16 to 235 (BT.601 limited range), which is the default. The buffer must not change while the frame is held.
    """

    data: Buffer
    width: int
    height: int
    stride_y: int = 0
    stride_u: int = 0
    stride_v: int = 0
    rotation: int = 0
    full_range: bool = False

    def __post_init__(self) -> None:
        """Check the geometry against the buffer, so that a wrong size is an error here and not a wrong picture."""
        _check_size(self.width, self.height, self.rotation)
        needed = self._offsets[3]
        if memoryview(self.data).nbytes < needed:
            raise invalid_field("data", f"holds {memoryview(self.data).nbytes} bytes; this I420 frame has {needed}")

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height in pixels after the rotation."""
        return (self.height, self.width) if self.rotation in {90, 270} else (self.width, self.height)

    @cached_property
    def _offsets(self) -> tuple[int, int, int, int]:
        half_width, half_height = (self.width + 1) // 2, (self.height + 1) // 2
        widths = (self.width, half_width, half_width)
        strides = (self.stride_y or self.width, self.stride_u or half_width, self.stride_v or half_width)
        for name, stride, width in zip(("stride_y", "stride_u", "stride_v"), strides, widths, strict=True):
            if stride < width:
                raise invalid_field(name, f"is {stride} bytes, less than a row of {width}")
        u = strides[0] * self.height
        v = u + strides[1] * half_height
        # The last row may end with its pixels: decoders do not pad behind it.
        return 0, u, v, v + strides[2] * (half_height - 1) + half_width

    @cached_property
    def chroma_planes(self) -> Plane | None:
        """View (2 x half, half): U above V, where they lie in one piece as decoders give them; else None."""
        _, start_u, _, _ = self._offsets
        half_width, half_height = (self.width + 1) // 2, (self.height + 1) // 2
        stride = self.stride_u or half_width
        if stride != (self.stride_v or half_width):
            return None
        whole = np.frombuffer(self.data, np.uint8)
        return np.ndarray((2 * half_height, half_width), np.uint8, whole, start_u, (stride, 1))

    @cached_property
    def planes(self) -> tuple[Plane, Plane, Plane]:
        """Views (height, width), (half, half), (half, half) of uint8."""
        start_y, start_u, start_v, _ = self._offsets
        half_width, half_height = (self.width + 1) // 2, (self.height + 1) // 2
        whole = np.frombuffer(self.data, np.uint8)

        def view(start: int, height: int, width: int, stride: int) -> Plane:
            return np.ndarray((height, width), np.uint8, whole, start, (stride, 1))

        return (
            view(start_y, self.height, self.width, self.stride_y or self.width),
            view(start_u, half_height, half_width, self.stride_u or half_width),
            view(start_v, half_height, half_width, self.stride_v or half_width),
        )


@dataclass(frozen=True)
class RgbFrame:
    """Interleaved pixels, 3 bytes (R, G, B) or 4 (R, G, B, anything) each, rows without padding."""

    data: Buffer
    width: int
    height: int
    bytes_per_pixel: int = 3
    rotation: int = 0

    def __post_init__(self) -> None:
        """Check the geometry against the buffer."""
        _check_size(self.width, self.height, self.rotation)
        if self.bytes_per_pixel not in {3, 4}:
            raise invalid_field("bytes_per_pixel", "must be 3 (RGB24) or 4 (RGBA)")
        needed = self.width * self.height * self.bytes_per_pixel
        if memoryview(self.data).nbytes != needed:
            raise invalid_field("data", f"holds {memoryview(self.data).nbytes} bytes; this frame has {needed}")

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height in pixels after the rotation."""
        return (self.height, self.width) if self.rotation in {90, 270} else (self.width, self.height)

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """View (height, width, 3 or 4) of uint8."""
        return np.frombuffer(self.data, np.uint8).reshape(self.height, self.width, self.bytes_per_pixel)


Frame = I420Frame | RgbFrame


def upright(picture: NDArray[np.uint8], rotation: int) -> NDArray[np.uint8]:
    """`picture` (height, width, ...) turned clockwise by `rotation` degrees; contiguous."""
    if rotation == 0:
        return picture
    turn: Callable[..., NDArray[np.uint8]] = np.rot90
    return np.ascontiguousarray(turn(picture, k=-(rotation // 90)))


def _check_size(width: int, height: int, rotation: int) -> None:
    for name, value in (("width", width), ("height", height)):
        if not 1 <= value <= SIDE_PX_MAX:
            raise invalid_field(name, f"is {value} pixels; must be 1 to {SIDE_PX_MAX}")
    if rotation not in ROTATIONS:
        raise invalid_field("rotation", f"is {rotation} degrees; must be 0, 90, 180 or 270")
