"""`python -m bench.vision NAME`: hashes, missed, variants, throughput, stream, tracks, flood, timeline, scenes."""

from __future__ import annotations

import importlib
import sys

_MODULES = {
    "hashes": "hash_cost",
    "missed": "missed",
    "variants": "variants",
    "throughput": "throughput",
    "stream": "stream_cost",
    "tracks": "many_tracks",
    "flood": "flood",
    "timeline": "timeline",
    "scenes": "scenes",
}


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in _MODULES:
        sys.exit(f"{__doc__}\nunknown: {name!r}" if name and not name.startswith("-") else __doc__)
    del sys.argv[1]
    importlib.import_module(f"bench.vision.{_MODULES[name]}").main()


if __name__ == "__main__":
    main()
