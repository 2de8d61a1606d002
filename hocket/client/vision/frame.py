"""Decoded frames over the caller's buffer, as planes or interleaved pixels; nothing is copied."""

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
    """Frame of planes Y, U and V in one buffer, as WebRTC decoders return it; U and V have half size, rounded up.

    Attributes:
        data: Planes Y, U, V, one after the other. Must not change while the frame is held.
        width: Width in pixels, 1 to 8192.
        height: Height in pixels, 1 to 8192.
        stride_y: Bytes from one row of Y to the next; 0 means `width`.
        stride_u: Bytes from one row of U to the next; 0 means half of `width`, rounded up.
        stride_v: Bytes from one row of V to the next; 0 means half of `width`, rounded up.
        rotation: Clockwise turn that makes the picture upright, as WebRTC signals it: 0, 90, 180 or 270 degrees.
        full_range: Whether luma uses 0 to 255; video decoders use 16 to 235 (BT.601 limited range).

    Raises:
        InvalidArgument: A size, stride or rotation is invalid, or the buffer is too small.
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
        """Check the geometry against the buffer, because a wrong size would give a wrong picture."""
        _check_size(self.width, self.height, self.rotation)
        needed = self._offsets[3]
        if memoryview(self.data).nbytes < needed:
            raise invalid_field("data", f"holds {memoryview(self.data).nbytes} bytes; this I420 frame needs {needed}")

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
                raise invalid_field(name, f"is {stride} bytes; must be 0 or at least {width}, a row")
        u = strides[0] * self.height
        v = u + strides[1] * half_height
        # The last row ends with its pixels: decoders do not pad it.
        return 0, u, v, v + strides[2] * (half_height - 1) + half_width

    @cached_property
    def chroma_planes(self) -> Plane | None:
        """View of U above V, (2 x half height, half width) uint8; None if their strides differ."""
        _, start_u, _, _ = self._offsets
        half_width, half_height = (self.width + 1) // 2, (self.height + 1) // 2
        stride = self.stride_u or half_width
        if stride != (self.stride_v or half_width):
            return None
        whole = np.frombuffer(self.data, np.uint8)
        return np.ndarray((2 * half_height, half_width), np.uint8, whole, start_u, (stride, 1))

    @cached_property
    def planes(self) -> tuple[Plane, Plane, Plane]:
        """Views of Y (height, width), U and V (half height, half width), uint8."""
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
    """Frame of interleaved pixels, rows without padding.

    Attributes:
        data: Pixels row by row. Must not change while the frame is held.
        width: Width in pixels, 1 to 8192.
        height: Height in pixels, 1 to 8192.
        bytes_per_pixel: 3 (R, G, B) or 4 (R, G, B and a byte that is ignored).
        rotation: Clockwise turn that makes the picture upright: 0, 90, 180 or 270 degrees.

    Raises:
        InvalidArgument: A size or the rotation is invalid, or the buffer has another size.
    """

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
            raise invalid_field("data", f"holds {memoryview(self.data).nbytes} bytes; this frame needs {needed}")

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height in pixels after the rotation."""
        return (self.height, self.width) if self.rotation in {90, 270} else (self.width, self.height)

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """View of the pixels, (height, width, 3 or 4) uint8."""
        return np.frombuffer(self.data, np.uint8).reshape(self.height, self.width, self.bytes_per_pixel)


Frame = I420Frame | RgbFrame


def upright(picture: NDArray[np.uint8], rotation: int) -> NDArray[np.uint8]:
    """Return `picture`, (height, width, ...) uint8, turned clockwise by `rotation` degrees; contiguous if turned."""
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
