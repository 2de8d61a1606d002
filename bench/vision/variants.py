"""Variants of clips as other cameras, encoders and callers would send them; a check against overfitting to the clips.

`.venv/bin/python -m bench.vision variants FOLDER CLIP ...` writes each clip at 15 and 10 frames a second, cropped,
mirrored, noisy at a low bitrate, dark, at 360 lines, at twice and at half its speed, and with still stretches in it;
`missed --each FOLDER/*.mkv` tells what each policy misses in them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Frames = Iterator[tuple[float, Pixels]]

_SECONDS_MAX = 45.0
_WIDTH_MAX = 1280
_CLOCK_HZ = 90_000
_STILL_S = 4.0
_STILL_AT_S = (0.0, 8.0)
_SHARP = {"preset": "ultrafast", "crf": "16"}
_POOR = {"preset": "veryfast", "b": "400k", "maxrate": "500k", "bufsize": "500k", "tune": "zerolatency"}


def decoded(clip: str) -> Frames:
    """Yield times from 0 in seconds and pictures (height, width, 3) uint8 with even sides."""
    began_s = None
    with av.open(clip) as container:
        rate = float(container.streams.video[0].average_rate or 25)
        for i, frame in enumerate(container.decode(video=0)):
            at_s = i / rate if frame.time is None else float(frame.time)
            began_s = at_s if began_s is None else began_s
            if at_s - began_s > _SECONDS_MAX:
                return
            width = min(frame.width, _WIDTH_MAX)
            height = frame.height * width // frame.width
            picture = frame.reformat(width // 2 * 2, height // 2 * 2, "rgb24", interpolation="AREA")
            yield at_s - began_s, np.asarray(picture.to_ndarray(), np.uint8)


def thinned(frames: Frames, fps: float) -> Frames:
    before = -1
    for at_s, rgb in frames:
        slot = int(at_s * fps + 1e-6)
        if slot > before:
            before = slot
            yield at_s, rgb


def drawn(frames: Frames, draw: Callable[[Pixels], Pixels]) -> Frames:
    return ((at_s, draw(rgb)) for at_s, rgb in frames)


def paced(frames: Frames, speed: float) -> Frames:
    return ((at_s / speed, rgb) for at_s, rgb in frames)


def resting(frames: Frames) -> Frames:
    """Yield the clip with still stretches at its beginning and inside."""
    waited_s, stops = 0.0, list(_STILL_AT_S)
    for at_s, rgb in frames:
        if stops and at_s >= stops[0]:
            stops.pop(0)
            yield from ((at_s + waited_s + i / 30, rgb) for i in range(round(_STILL_S * 30)))
            waited_s += _STILL_S
        yield at_s + waited_s, rgb


def _cropped(rgb: Pixels) -> Pixels:
    height, width = rgb.shape[:2]
    return rgb[height // 8 : height * 7 // 8, width // 5 : width * 9 // 10]


def _noisy(rgb: Pixels, rng: np.random.Generator) -> Pixels:
    return np.clip(rgb + rng.normal(0, 4, (*rgb.shape[:2], 1)), 0, 255).astype(np.uint8)


def _small(rgb: Pixels) -> Pixels:
    size = (640, rgb.shape[0] * 640 // rgb.shape[1])
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def _noise(frames: Frames) -> Frames:
    rng = np.random.default_rng(3)
    return drawn(frames, lambda rgb: _noisy(rgb, rng))


VARIANTS: dict[str, tuple[Callable[[Frames], Frames], dict[str, str]]] = {
    "15fps": (lambda frames: thinned(frames, 15), _SHARP),
    "10fps": (lambda frames: thinned(frames, 10), _SHARP),
    "cropped": (lambda frames: drawn(frames, _cropped), _SHARP),
    "mirrored": (lambda frames: drawn(frames, lambda rgb: rgb[:, ::-1]), _SHARP),
    "poor": (_noise, _POOR),
    "dark": (lambda frames: drawn(frames, lambda rgb: (rgb * 0.3).astype(np.uint8)), _SHARP),
    "360p": (lambda frames: drawn(frames, _small), _SHARP),
    "fast": (lambda frames: paced(frames, 2), _SHARP),
    "slow": (lambda frames: paced(frames, 0.5), _SHARP),
    "resting": (resting, _SHARP),
}


def write(path: Path, frames: Frames, options: dict[str, str]) -> None:
    """Write H.264 in Matroska with the given frame times."""
    with av.open(str(path), "w") as container:
        stream = None
        for at_s, rgb in frames:
            even = np.ascontiguousarray(rgb[: rgb.shape[0] // 2 * 2, : rgb.shape[1] // 2 * 2])
            if stream is None:
                stream = container.add_stream("libx264", rate=30, options=options)
                stream.height, stream.width = even.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.codec_context.time_base = Fraction(1, _CLOCK_HZ)
            frame = av.VideoFrame.from_ndarray(even, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = round(at_s * _CLOCK_HZ), Fraction(1, _CLOCK_HZ)
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("clips", nargs="+")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for clip in arguments.clips:
        for name, (change, options) in VARIANTS.items():
            write(arguments.folder / f"{Path(clip).stem}__{name}.mkv", change(decoded(clip)), options)
        print(clip)


if __name__ == "__main__":
    main()
