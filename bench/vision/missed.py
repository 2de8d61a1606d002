"""Share of frames that each gate drops and the changes it misses: the service beside five other rules, in one run.

`.venv/bin/python -m bench.vision missed [CLIP ...]`; without clips, the synthetic scenes. Every gate gets the same
frames. Misses are judged on full frames, independent of thumbnails and hashes: luma in blocks of 16x16 pixels at a
width of 1280. A block differs if its mean absolute difference exceeds 10 levels, a picture if 4 of its blocks differ.

dropped %  frames that were not kept
settled    changes after which the picture stood still for 0.4 s, and the number of them kept within 1 s
lag        mean time, over the whole clip, for which the live picture had differed from the last keyframe, s
longest    longest such stretch, s
us/frame   CPU of the caller's thread, for the service without its own (see `throughput`)
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.results import Table, add_json_option
from bench.vision import gates
from bench.vision.scenes import SCENES

COLUMNS = (*("gate", "dropped", "settled changes kept within 1 s", "lag, s", "longest stale, s", "CPU per frame, µs"),)
Pixels = NDArray[np.uint8]
Gate = Callable[[Pixels, float], bool]

_WIDTH = 1280
_BLOCK = 16
_LEVELS = 10.0
_BLOCKS = 4
_STILL_S = 0.4
_SEEN_WITHIN_S = 1.0
_FPS_MAX = 31.0


class Uniform:
    """Keeps a frame at even intervals."""

    def __init__(self, fps: float) -> None:
        self._interval_s, self._kept_s = 1 / fps, -1e9

    def __call__(self, _rgb: Pixels, at_s: float) -> bool:
        if at_s - self._kept_s < self._interval_s - 1e-6:
            return False
        self._kept_s = at_s
        return True


class Phash:
    """Keeps frames whose imagehash.phash differs by more than 10 bits from the last keyframe."""

    def __init__(self) -> None:
        self._kept: imagehash.ImageHash | None = None

    def __call__(self, rgb: Pixels, _at_s: float) -> bool:
        found = imagehash.phash(Image.fromarray(rgb))
        if self._kept is not None and found - self._kept <= 10:
            return False
        self._kept = found
        return True


class Mpdecimate:
    """Rule of ffmpeg's mpdecimate with its defaults: any 8x8 block differs much, or a third of them a little."""

    def __init__(self) -> None:
        self._kept: NDArray[np.int16] | None = None

    def __call__(self, rgb: Pixels, _at_s: float) -> bool:
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.int16)
        if self._kept is not None:
            sums = cv2.boxFilter(np.abs(grey - self._kept).astype(np.float32), -1, (8, 8), normalize=False)[
                4:-4:4, 4:-4:4
            ]
            if sums.max() <= 64 * 12 and (sums > 64 * 5).mean() <= 0.33:
                return False
        self._kept = grey
        return True


class Ssim:
    """Keeps frames with a structural similarity below 0.95 at 256x144."""

    def __init__(self) -> None:
        self._kept: NDArray[np.float32] | None = None

    def __call__(self, rgb: Pixels, _at_s: float) -> bool:
        grey = cv2.resize(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (256, 144), interpolation=cv2.INTER_AREA)
        now = grey.astype(np.float32)
        if self._kept is not None and _ssim(now, self._kept) >= 0.95:
            return False
        self._kept = now
        return True


def _ssim(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    def mean(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.GaussianBlur(x, (11, 11), 1.5), np.float32)

    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b, both = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2, mean(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return float((top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean())


WAYS: dict[str, Callable[[], Gate]] = {
    "cells, through the service": lambda: gates.cells(""),
    "economy, through the service": lambda: gates.economy(""),
    "timer, through the service": lambda: gates.timer(""),
    "phash, through the service": lambda: gates.phash(""),
    "imagehash.phash, distance > 10": Phash,
    "uniform 3 fps": lambda: Uniform(3),
    "uniform 4 fps": lambda: Uniform(4),
    "mpdecimate's rule": Mpdecimate,
    "SSIM < 0.95": Ssim,
}


@dataclass
class Score:
    """Sums over clips."""

    frames: int = 0
    kept: int = 0
    seconds: float = 0.0
    lag_s2: float = 0.0
    longest_s: float = 0.0
    settled: int = 0
    seen: int = 0
    cpu_s: float = 0.0
    stale_since_s: float | None = None
    kept_luma: Pixels | None = None
    kept_at_s: list[float] = field(default_factory=list[float])

    def begin(self) -> None:
        self.stale_since_s, self.kept_luma, self.kept_at_s = None, None, []

    def frame(self, luma: Pixels, at_s: float, gap_s: float, *, kept: bool) -> None:
        self.frames += 1
        self.seconds += gap_s
        if kept:
            self.kept += 1
            self.kept_luma = luma
            self.kept_at_s.append(at_s)
        if kept or self.kept_luma is None or not differs(luma, self.kept_luma):
            self.stale_since_s = None
            return
        if self.stale_since_s is None:
            self.stale_since_s = at_s
        stale_s = at_s - self.stale_since_s + gap_s
        self.lag_s2 += (stale_s - gap_s / 2) * gap_s
        self.longest_s = max(self.longest_s, stale_s)

    def end(self, settled_at_s: list[float]) -> None:
        self.settled += len(settled_at_s)
        kept = np.array(self.kept_at_s)
        self.seen += sum(bool(((kept >= s - 1e-3) & (kept <= s + _SEEN_WITHIN_S + 1e-3)).any()) for s in settled_at_s)


class Settling:
    """Finds the times at which a changed picture settled, from full frames."""

    def __init__(self) -> None:
        self.at_s: list[float] = []
        self._before: Pixels | None = None
        self._rest: Pixels | None = None
        self._still_since_s = 0.0
        self._judged = False

    def frame(self, luma: Pixels, at_s: float) -> None:
        if self._before is None or differs(luma, self._before, blocks=1):
            self._still_since_s, self._judged = at_s, False
        self._before = luma
        if self._judged or at_s - self._still_since_s < _STILL_S:
            return
        self._judged = True
        if self._rest is not None and differs(luma, self._rest):
            self.at_s.append(self._still_since_s)
        if self._rest is None or differs(luma, self._rest):
            self._rest = luma


def differs(a: Pixels, b: Pixels, *, blocks: int = _BLOCKS) -> bool:
    if a.shape != b.shape:
        return True
    height, width = a.shape
    size = (width // _BLOCK, height // _BLOCK)
    means = cv2.resize(cv2.absdiff(a, b).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return int((np.asarray(means) > _LEVELS).sum()) >= blocks


def frames(source: str) -> Iterator[tuple[float, Pixels]]:
    if source in SCENES:
        scene, fps = SCENES[source]
        for i, picture in enumerate(scene()):
            yield i / fps, np.ascontiguousarray(picture)
        return
    last_s = -1e9
    with av.open(source) as container:
        rate = float(container.streams.video[0].average_rate or 25)
        for i, frame in enumerate(container.decode(video=0)):
            at_s = i / rate if frame.time is None else float(frame.time)
            if at_s - last_s < 1 / _FPS_MAX - 1e-6:
                continue
            last_s = at_s
            height = frame.height * _WIDTH // frame.width // _BLOCK * _BLOCK if frame.width > _WIDTH else frame.height
            width = min(frame.width, _WIDTH)
            scaled = frame.reformat(width // 2 * 2, height // 2 * 2, "rgb24", interpolation="AREA")
            yield at_s, np.asarray(scaled.to_ndarray(), np.uint8)


def luma_of(rgb: Pixels) -> Pixels:
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    height = max(_BLOCK, round(grey.shape[0] * _WIDTH / grey.shape[1] / _BLOCK) * _BLOCK)
    return np.asarray(cv2.resize(grey, (_WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)


def run(source: str, scores: dict[str, Score]) -> None:
    ways = {name: make() for name, make in WAYS.items() if name in scores}
    settling = Settling()
    for score in scores.values():
        score.begin()
    before_s = None
    for at_s, rgb in frames(source):
        gap_s = 1 / 30 if before_s is None else at_s - before_s
        before_s = at_s
        luma = luma_of(rgb)
        settling.frame(luma, at_s)
        for name, way in ways.items():
            cpu_s = time.thread_time()
            kept = way(rgb, at_s)
            scores[name].cpu_s += time.thread_time() - cpu_s
            scores[name].frame(luma, at_s, gap_s, kept=kept)
    for score in scores.values():
        score.end(settling.at_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*")
    parser.add_argument("--each", action="store_true", help="print a table for each clip as well")
    parser.add_argument("--ways", default="", help="only gates whose name contains one of these, separated by commas")
    add_json_option(parser)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    names = [name for name in WAYS if any(part in name for part in arguments.ways.split(","))]
    total = {name: Score() for name in names}
    sources = arguments.clips or list(SCENES)
    for source in sources:
        each = {name: Score() for name in names} if arguments.each else total
        run(source, each)
        if arguments.each:
            show(Path(source).name, each)
            for name in names:
                merge(total[name], each[name])
    rows = show(f"all {len(sources)} clips", total)
    score = next(iter(total.values()))
    name, which = ("vision_missed_clips", "clips") if arguments.clips else ("vision_missed_scenes", "synthetic scenes")
    command = "python -m bench.vision missed" + (" CLIP ..." if arguments.clips else "")
    note = f"{len(sources)} {which}, {score.frames} frames, {score.seconds:.0f} s."
    Table("vision", name, COLUMNS, note, command).store(rows, write=arguments.json)


def merge(into: Score, other: Score) -> None:
    for name in ("frames", "kept", "seconds", "lag_s2", "settled", "seen", "cpu_s"):
        setattr(into, name, getattr(into, name) + getattr(other, name))
    into.longest_s = max(into.longest_s, other.longest_s)


def show(title: str, scores: dict[str, Score]) -> list[list[str]]:
    """Print the table of a clip and return its rows."""
    any_score = next(iter(scores.values()))
    print(f"\n{title}: {any_score.frames} frames, {any_score.seconds:.0f} s")
    print(f"{'':32s} dropped %   settled    lag  longest  us/frame")
    rows: list[list[str]] = []
    for name, s in scores.items():
        dropped, settled = f"{100 * (1 - s.kept / s.frames):.1f}", f"{s.seen} of {s.settled}"
        times = (f"{s.lag_s2 / s.seconds:.3f}", f"{s.longest_s:.2f}", f"{s.cpu_s / s.frames * 1e6:.0f}")
        print(f"{name:32s} {dropped:>9s} {settled:>9s} {times[0]:>6s} {times[1]:>8s} {times[2]:>9s}")
        rows.append([name, f"{dropped} %", settled, *times])
    return rows


if __name__ == "__main__":
    main()
