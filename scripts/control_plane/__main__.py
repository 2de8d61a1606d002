"""The control plane of the chart tests.

python -m scripts.control_plane find              prints its folder; exits with 1 if it is not built
python -m scripts.control_plane build             builds it, about 12 minutes on two idle cores
python -m scripts.control_plane up [--folder DIR] runs a cluster until Ctrl-C, and prints its KUBECONFIG
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from local.errors import LocalError
from scripts.control_plane import binaries
from scripts.control_plane.cluster import Cluster


def main() -> None:
    """Be the command."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.control_plane",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("find")
    build = commands.add_parser("build")
    build.add_argument("--minutes", type=float, default=None, help="stop after this time; the next build continues")
    up = commands.add_parser("up")
    up.add_argument("--folder", type=Path, help="empty folder for keys, data and logs (default: a temporary one)")
    arguments = parser.parse_args()
    try:
        if arguments.command == "find":
            found = binaries.find()
            if found is None:
                sys.exit("the control plane is not built; build it with `make kube`")
            print(found.folder)
        elif arguments.command == "build":
            asyncio.run(_build(arguments.minutes))
        else:
            with suppress(KeyboardInterrupt), tempfile.TemporaryDirectory(prefix="control-plane-") as scratch:
                asyncio.run(_up(arguments.folder or Path(scratch)))
    except LocalError as error:
        sys.exit(str(error))


async def _build(minutes: float | None) -> None:
    try:
        async with asyncio.timeout(None if minutes is None else minutes * 60):
            built = await binaries.find_or_build(_print)
    except TimeoutError:
        raise LocalError(
            f"the control plane is not built after {minutes:g} minutes; the next build continues"
        ) from None
    print(built.folder)


async def _up(folder: Path) -> None:
    built = await binaries.find_or_build(_print)
    async with Cluster.start(built, folder, progress=_print) as cluster:
        print(f"export KUBECONFIG={cluster.kubeconfig}", flush=True)
        await asyncio.Event().wait()


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
