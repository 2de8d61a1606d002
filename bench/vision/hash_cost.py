"""CPU per 720p frame and equal bits of phash: this service, imagehash, imagededup, OpenCV's img_hash and PDQ.

`.venv/bin/python -m bench.vision.hash_cost [--imagededup PYTHON] [CLIP ...]`; without clips, frames of the synthetic
scenes. PYTHON is that of an environment which holds imagededup (it needs torch, so not this one). PDQ is measured where
pdqhash is installed (`uv pip install pdqhash`; on Linux it has no wheel and needs a C compiler). Times are CPU of one
thread, each row the best of three passes over the same frames, which together exceed any cache. "bits" is the mean
Hamming distance to imagehash.phash of the same frame.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av
import cv2
import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.results import Table, add_json_option
from bench.vision.scenes import SCENES
from hocket.client.vision import I420Frame, RgbFrame, thumbnail
from services.vision.gating.perceptual_hash import image_hash, phash_32x32, thumbnail_hash
from services.vision.gating.verdict import Policy

COLUMNS = ("hash", "µs per 720p frame", "times faster than imagehash", "equal, %", "mean distance, bits")
Pixels = NDArray[np.uint8]
_SIZE = (1280, 720)


class Sample:
    """One frame in the input format of every contestant, so that conversions are not measured."""

    def __init__(self, rgb: Pixels) -> None:
        self.rgb = rgb
        self.image = Image.fromarray(rgb)
        self.bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        self.planes = I420Frame(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420).tobytes(), *_SIZE)
        self.pixels = RgbFrame(rgb.tobytes(), *_SIZE)
        self.pixels_rgba = RgbFrame(cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA).tobytes(), *_SIZE, 4)
        self.luma = thumbnail(self.planes).luma
        self.small = np.asarray(self.image.convert("L").resize((32, 32), Image.Resampling.LANCZOS))
        self.expected = int(str(imagehash.phash(self.image)), 16)


def _packed(bits: NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits.ravel()).tobytes(), "big")


def opencv_phash(sample: Sample) -> int:
    return _packed(np.unpackbits(np.asarray(cv2.img_hash.pHash(sample.bgr), np.uint8).ravel(), bitorder="little") > 0)


def pdq(sample: Sample) -> int:
    import pdqhash  # noqa: PLC0415 - optional

    bits, _ = pdqhash.compute(sample.rgb)
    return _packed(np.asarray(bits, bool))


CONTESTANTS: dict[str, tuple[Callable[[Sample], int], bool]] = {
    "imagehash.phash, RGB frame": (lambda s: int(str(imagehash.phash(s.image)), 16), True),
    "ours, RGB frame (Dedup)": (lambda s: image_hash(Policy.PHASH, s.image.convert("L")), True),
    "ours, I420 frame to offer to bits (Watch)": (
        lambda s: thumbnail_hash(Policy.PHASH, thumbnail(s.planes).luma, 64),
        True,
    ),
    "  of it in the client: I420 to thumbnail": (lambda s: len(thumbnail(s.planes).luma), False),
    "  of it in the service: thumbnail to bits": (lambda s: thumbnail_hash(Policy.PHASH, s.luma, 64), True),
    "  the client's RGBA to thumbnail": (lambda s: len(thumbnail(s.pixels_rgba).luma), False),
    "  the client's RGB to thumbnail": (lambda s: len(thumbnail(s.pixels).luma), False),
    "32x32 to bits, ours": (lambda s: phash_32x32(s.small), True),
    "32x32 to bits, imagehash": (lambda s: int(str(imagehash.phash(Image.fromarray(s.small))), 16), True),
    "OpenCV img_hash.pHash, BGR frame": (opencv_phash, True),
}
if importlib.util.find_spec("pdqhash"):
    CONTESTANTS["PDQ (256 bits), RGB frame"] = (pdq, False)


def frames(clips: list[str], count: int) -> Iterator[Pixels]:
    if not clips:
        for scene, _ in SCENES.values():
            for i, picture in enumerate(scene()):
                if i % 20 == 7:
                    yield np.ascontiguousarray(picture)
                if i > 20 * count // len(SCENES):
                    break
    for clip in clips:
        with av.open(clip) as container:
            for i, frame in enumerate(container.decode(video=0)):
                if i % 12 == 0:
                    yield np.asarray(frame.reformat(*_SIZE, "rgb24", interpolation="AREA").to_ndarray(), np.uint8)


def by_imagededup(python: str, samples: list[Sample]) -> tuple[str, float, list[int]]:
    """Return the version of imagededup, us per frame and hashes, measured in its own environment."""
    script = Path(__file__).with_name("imagededup_side.py")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames.npy"
        np.save(path, np.stack([sample.rgb for sample in samples]))
        ran = subprocess.run([python, str(script), str(path)], stdout=subprocess.PIPE, check=True)
    measured = json.loads(ran.stdout)
    return measured["version"], measured["us"], [int(each, 16) for each in measured["hashes"]]


def row(name: str, us: float, reference_us: float, samples: list[Sample], hashes: Sequence[int] | None) -> list[str]:
    """Print and return one line of the table."""
    cells = [name, f"{us:.1f}", f"{reference_us / us:.1f}", "", ""]
    if hashes is not None:
        distances = [(h ^ s.expected).bit_count() for h, s in zip(hashes, samples, strict=True)]
        cells[3:] = [f"{100 * distances.count(0) / len(samples):.1f}", f"{np.mean(distances):.2f}"]
    print(f"{cells[0]:44s} {cells[1]:>9s} {cells[2]:>7s} {cells[3]:>8s} {cells[4]:>6s}")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="*")
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--imagededup", metavar="PYTHON", help="python of an environment that holds imagededup")
    add_json_option(parser)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    samples = [Sample(rgb) for _, rgb in zip(range(arguments.frames), frames(arguments.clips, 120), strict=False)]
    print(f"{len(samples)} frames of 1280x720\n{'':44s} {'us/frame':>9s} {'times':>7s} {'equal %':>8s} {'bits':>6s}")
    reference, rows = 0.0, list[list[str]]()
    for name, (compute, comparable) in CONTESTANTS.items():
        best, hashes = 1e9, list[int]()
        for _ in range(3):
            started = time.thread_time()
            hashes = [compute(sample) for sample in samples]
            best = min(best, (time.thread_time() - started) / len(samples) * 1e6)
        reference = reference or best
        rows.append(row(name, best, reference, samples, hashes if comparable else None))
    if arguments.imagededup:
        version, us, hashes = by_imagededup(arguments.imagededup, samples)
        rows.append(row(f"imagededup {version} PHash, RGB frame", us, reference, samples, hashes))
    note = f"{len(samples)} frames of 1280x720."
    command = "python -m bench.vision hashes CLIP ..."
    Table("vision", "vision_hashes", COLUMNS, note, command).store(rows, write=arguments.json)


if __name__ == "__main__":
    main()
