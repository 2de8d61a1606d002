"""PHash of imagededup, run by the Python of an environment that has it: `PYTHON imagededup_side.py FRAMES.npy`.

A script of its own and not a module of this package: the environment holds imagededup (which needs torch) and nothing
of hocket. Prints JSON: its version, the CPU in us per frame of the best of three passes, and the hash of each frame.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version

import numpy as np
from imagededup.methods import PHash


def main() -> None:
    frames = np.load(sys.argv[1], mmap_mode="r")
    hasher, best, hashes = PHash(verbose=False), 1e9, []
    for _ in range(3):
        pictures = [np.ascontiguousarray(frame) for frame in frames]
        started = time.thread_time()
        hashes = [hasher.encode_image(image_array=picture) for picture in pictures]
        best = min(best, (time.thread_time() - started) / len(pictures) * 1e6)
    print(json.dumps({"version": version("imagededup"), "us": best, "hashes": hashes}))


if __name__ == "__main__":
    main()
