"""Run the test suite with one busy loop per core beside it: a test that needs a fast machine fails here.

    python scripts/steady.py [--runs N] [PYTEST ARGUMENT ...]

Exits with the code of the first run that fails, else 0.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager

# Ends by itself when this process is gone, however it ended.
_BUSY_LOOP = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): pass"


def main() -> None:
    """Be the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1, metavar="N", help="runs that must pass in a row (default: 1)")
    arguments, pytest_arguments = parser.parse_known_args()
    if arguments.runs < 1:
        parser.error(f"--runs {arguments.runs}: must be 1 or more")
    cores = os.cpu_count() or 1
    with busy_loops(cores):
        for run in range(1, arguments.runs + 1):
            print(f"steady: run {run} of {arguments.runs} beside {cores} busy loops", flush=True)
            began_s = time.monotonic()
            code = subprocess.run((sys.executable, "-m", "pytest", *pytest_arguments), check=False).returncode
            print(f"steady: run {run} ended with {code} after {time.monotonic() - began_s:.0f} s", flush=True)
            if code:
                sys.exit(code)


@contextmanager
def busy_loops(count: int) -> Generator[Sequence[subprocess.Popen[bytes]]]:
    """Keep `count` cores busy for the block."""
    loops = [subprocess.Popen((sys.executable, "-c", _BUSY_LOOP, str(os.getpid()))) for _ in range(count)]
    try:
        yield loops
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


if __name__ == "__main__":
    main()
