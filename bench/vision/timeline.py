"""Plots the keyframes of each policy over the difference between successive frames.

`.venv/bin/python -m bench.vision.timeline --out docs/vision_timeline.png [CLIP ...]`; without clips, three synthetic
scenes. Frames go through the real service and client, on the clip's own clock.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import av
import matplotlib as mpl
import numpy as np
from hocket.vision.v1 import vision_pb2 as pb
from numpy.typing import NDArray

from bench.vision.gates import SessionGate
from bench.vision.scenes import SCENES
from hocket.client.vision import RgbFrame, thumbnail

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

_SHOWN = ("screen_editor", "talk_person", "surv_entrance")
_POLICIES = ("cells", "economy", "timer", "phash")
_COLOURS = ("#1b6ca8", "#2a9d8f", "#8d99ae", "#c1440e")
_SECONDS_MAX = 24.0


def frames(source: str) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    if source in SCENES:
        scene, fps = SCENES[source]
        for i, picture in enumerate(scene()):
            yield i / fps, np.ascontiguousarray(picture)
    else:
        with av.open(source) as container:
            for frame in container.decode(video=0):
                yield float(frame.time or 0.0), np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def draw(axes: Axes, source: str) -> None:
    gates = [SessionGate(pb.Policy.Value(f"POLICY_{name.upper()}")) for name in _POLICIES]
    times: list[float] = []
    moved: list[float] = []
    kept: list[list[float]] = [[] for _ in gates]
    before = None
    for at_s, rgb in frames(source):
        if at_s > _SECONDS_MAX:
            break
        cells = np.frombuffer(thumbnail(RgbFrame(rgb.tobytes(), rgb.shape[1], rgb.shape[0])).luma, np.uint8).astype(int)
        times.append(at_s)
        moved.append(0.0 if before is None else 100 * float((np.abs(cells - before) > 8).mean()))
        before = cells
        for gate, marks in zip(gates, kept, strict=True):
            if gate(rgb, at_s):
                marks.append(at_s)
    axes.fill_between(times, np.array(moved) / max(*moved, 1e-9), color="#dddddd", step="mid", linewidth=0)
    for row, (name, colour, marks) in enumerate(zip(_POLICIES, _COLOURS, kept, strict=True)):
        axes.vlines(marks, -row - 0.85, -row - 0.15, color=colour, linewidth=1.1)
        share = 100 * (1 - len(marks) / len(times))
        axes.text(times[-1] + 0.2, -row - 0.5, f"{name}: {share:.1f} % dropped", color=colour, va="center", fontsize=8)
    axes.set_title(f"{Path(source).stem}  (grey: cells that moved, up to {max(moved):.1f} %)", fontsize=9, loc="left")
    axes.set_yticks([])
    axes.set_xlim(0, times[-1])
    axes.set_ylim(-len(gates) - 0.1, 1.05)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="*")
    parser.add_argument("--out", type=Path, default=Path("docs/vision_timeline.png"))
    arguments = parser.parse_args()
    sources = arguments.clips or list(_SHOWN)
    figure, all_axes = plt.subplots(len(sources), 1, figsize=(11, 2.1 * len(sources)), squeeze=False)
    for axes, source in zip(all_axes[:, 0], sources, strict=True):
        draw(axes, source)
    all_axes[-1, 0].set_xlabel("seconds")
    figure.subplots_adjust(right=0.83, hspace=0.55, top=0.95, bottom=0.08, left=0.03)
    figure.savefig(arguments.out, dpi=110)
    print(arguments.out)


if __name__ == "__main__":
    main()
