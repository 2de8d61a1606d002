"""Decodes and encodes untrusted whole frames; the header is checked before any pixel is decoded."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

from PIL import Image, ImageOps

from hocket.chassis.errors import InvalidArgument, invalid_field
from hocket.client.vision.frame import Frame, I420Frame, RgbFrame
from hocket.client.vision.jpeg import encode_jpeg
from hocket.client.vision.thumbnail import thumbnail
from services.vision.errors import too_large
from services.vision.gating.perceptual_hash import image_hash
from services.vision.gating.verdict import Policy
from services.vision.ports import DecodedFrame, EncodedFrame, WholeFrame

SIDE_PX_MAX = 8192
# Default gRPC limit of clients, 4 MiB, less room for the verdict.
RESPONSE_JPEG_BYTES_MAX = 4 * 1024 * 1024 - 64 * 1024
_QUALITIES = (85, 70, 50, 30)
# Progressive JPEGs of cameras and editors have about ten scans. A scan of 33 bytes costs a pass over all pixels.
SCANS_MAX = 64
_SCAN = b"\xff\xda"
_FIELD = "frame.data"
_HASHES = frozenset({Policy.PHASH, Policy.DHASH, Policy.AHASH})
_BYTES_PER_PIXEL = {"rgb24": 3, "rgba": 4}
_SIGNATURES = {"jpeg": b"\xff\xd8\xff", "png": b"\x89PNG\r\n\x1a\n", "webp": b"RIFF"}
_PNG_DEPTH_OFFSET = 24
# Exceptions of Pillow for broken, truncated and malicious files.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    EOFError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class _Picture:
    frame: Frame


class PillowImages:
    """Implements ports.ImageCodec with Pillow and simplejpeg, in threads beside the event loop."""

    def __init__(self, *, pixels_max: int, threads: int) -> None:
        """Accept pictures up to `pixels_max` pixels; work in `threads` threads."""
        self._pixels_max = pixels_max
        self._threads = ThreadPoolExecutor(threads, "vision-images")

    async def decode(self, frame: WholeFrame, policy: Policy) -> DecodedFrame:
        """Check and decode a picture; computes its thumbnail and, for a hash policy, its hash.

        Raises:
            InvalidArgument: The picture is broken, too large or of an unsupported kind; names the field.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._decode, frame, policy)

    async def encode(self, frame: DecodedFrame, longest_px: int) -> EncodedFrame:
        """Return a JPEG of quality 85, or less where that would exceed RESPONSE_JPEG_BYTES_MAX.

        Args:
            frame: Frame that `decode` returned.
            longest_px: Longest side in pixels; larger pictures are scaled down, 0 keeps the size.

        Raises:
            InvalidArgument: The JPEG exceeds the limit at quality 30.
        """
        picture = cast("_Picture", frame.picture).frame
        return await asyncio.get_running_loop().run_in_executor(self._threads, _encode, picture, longest_px)

    def close(self) -> None:
        """Stop the threads and drop queued work."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _decode(self, frame: WholeFrame, policy: Policy) -> DecodedFrame:
        picture, image = self._decode_file(frame) if frame.encoding in _SIGNATURES else self._decode_raw(frame)
        frame_hash = image_hash(policy, image.convert("L")) if policy in _HASHES else None
        return DecodedFrame(thumbnail(picture), frame_hash, _Picture(picture))

    def _decode_raw(self, frame: WholeFrame) -> tuple[Frame, Image.Image]:
        """Return the frame and the picture to hash."""
        width, height = frame.width, frame.height
        for name, side in (("frame.width", width), ("frame.height", height)):
            if not 1 <= side <= SIDE_PX_MAX:
                raise invalid_field(name, f"is {side} pixels; set it for raw formats, 1 to {SIDE_PX_MAX}")
        self._check_pixels(width, height)
        if frame.encoding == "i420":
            needed = width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)
            _check_length(frame, needed)
            planes = I420Frame(frame.data, width, height)
            return planes, Image.frombytes("L", (width, height), frame.data[: width * height])
        depth = _BYTES_PER_PIXEL[frame.encoding]
        _check_length(frame, width * height * depth)
        mode = "RGB" if depth == 3 else "RGBA"
        return RgbFrame(frame.data, width, height, depth), Image.frombytes(mode, (width, height), frame.data)

    def _decode_file(self, frame: WholeFrame) -> tuple[Frame, Image.Image]:
        name = frame.encoding.upper()
        # Start-of-scan markers; within scan data 0xFF is always followed by 0.
        scans = frame.data.count(_SCAN) if frame.encoding == "jpeg" else 0
        if scans > SCANS_MAX:
            raise too_large(_FIELD, f"has {scans} scans; send a JPEG of at most {SCANS_MAX}")
        if not frame.data.startswith(_SIGNATURES[frame.encoding]):
            raise invalid_field(_FIELD, f"is not a {name} file; send one or set frame.format to its format")
        try:
            with Image.open(io.BytesIO(frame.data), formats=[name]) as file:
                self._check_file(frame, file)
                file.load()
                picture = ImageOps.exif_transpose(file)
                colours = picture if picture.mode == "RGB" else picture.convert("RGB")
                return RgbFrame(colours.tobytes(), *colours.size), picture
        except InvalidArgument:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise too_large(_FIELD, f"has too many pixels; send at most {self._pixels_max}") from error
        except _DECODER_ERRORS as error:
            raise invalid_field(_FIELD, f"is a broken or truncated {name} file; send a complete one") from error

    def _check_file(self, frame: WholeFrame, file: Image.Image) -> None:
        width, height = file.size
        if not (1 <= width <= SIDE_PX_MAX and 1 <= height <= SIDE_PX_MAX):
            raise too_large(_FIELD, f"{width}x{height} pixels; each side is 1 to {SIDE_PX_MAX}")
        self._check_pixels(width, height)
        for field, claimed, actual in (("frame.width", frame.width, width), ("frame.height", frame.height, height)):
            if claimed not in {0, actual}:
                raise invalid_field(field, f"is {claimed} pixels and the file has {actual}; send 0 or that size")
        # MPO: phones append a second picture (depth, brightness) to a JPEG, which is no animation.
        if file.format != "MPO" and getattr(file, "n_frames", 1) != 1:
            raise invalid_field(_FIELD, "is animated; send one frame at a time")
        if file.mode == "CMYK":
            raise invalid_field(_FIELD, "is in CMYK; send RGB or grey")
        deep_png = (
            frame.encoding == "png" and len(frame.data) > _PNG_DEPTH_OFFSET and frame.data[_PNG_DEPTH_OFFSET] == 16
        )
        if deep_png or file.mode.startswith(("I", "F")):
            raise invalid_field(_FIELD, "has 16 or more bits per channel; send 8")

    def _check_pixels(self, width: int, height: int) -> None:
        if width * height > self._pixels_max:
            raise too_large(_FIELD, f"{width}x{height} is {width * height} pixels; send at most {self._pixels_max}")


def _check_length(frame: WholeFrame, needed: int) -> None:
    if len(frame.data) != needed:
        kind = f"{frame.encoding} of {frame.width}x{frame.height}"
        raise invalid_field(_FIELD, f"holds {len(frame.data)} bytes; {kind} needs {needed}")


def _encode(frame: Frame, longest_px: int) -> EncodedFrame:
    scaled = _scaled(frame, longest_px)
    for quality in _QUALITIES:
        jpeg = encode_jpeg(scaled, quality=quality)
        if len(jpeg) <= RESPONSE_JPEG_BYTES_MAX:
            return EncodedFrame(jpeg, scaled.width, scaled.height)
    raise too_large(
        _FIELD,
        f"exceeds {RESPONSE_JPEG_BYTES_MAX} bytes as JPEG of quality {_QUALITIES[-1]}; set config.resize_longest_px",
    )


def _scaled(frame: Frame, longest_px: int) -> Frame:
    longest = max(frame.width, frame.height)
    if not longest_px or longest <= longest_px:
        return frame
    width = max(1, round(frame.width * longest_px / longest))
    height = max(1, round(frame.height * longest_px / longest))
    if isinstance(frame, RgbFrame):
        mode = "RGB" if frame.bytes_per_pixel == 3 else "RGBA"
        whole = Image.frombytes(mode, (frame.width, frame.height), bytes(frame.data))
        small = whole.convert("RGB").resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
        return RgbFrame(small.tobytes(), width, height)
    sizes = ((width, height), ((width + 1) // 2, (height + 1) // 2), ((width + 1) // 2, (height + 1) // 2))
    planes = [
        Image.fromarray(plane).resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0).tobytes()
        for plane, size in zip(frame.planes, sizes, strict=True)
    ]
    return I420Frame(b"".join(planes), width, height, full_range=frame.full_range)
