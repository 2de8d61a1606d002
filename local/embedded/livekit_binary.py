"""Find livekit-server on PATH or in the cache, or build it once from its Go module."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from local.embedded import go_builds
from local.processes.commands import run_command
from local.progress import Progress, progress_reminder

VERSION = "v1.13.5"
MODULE = f"github.com/livekit/livekit-server/cmd/server@{VERSION}"
_BUILD_TIMEOUT_S = 5400
_FREE_BYTES_MIN = 3 * 1024**3  # a build (sources, objects, binary) was measured at 2.3 GB
_FIX = ", put livekit-server on PATH, or set LIVEKIT_URL to an existing server"


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
    found = go_builds.find_cached(name)
    if found:
        return found
    cached = go_builds.writable_cache("livekit-server", _FIX) / name
    async with go_builds.build_lock(cached.with_name(f"{name}.lock"), "livekit-server", progress):
        if not cached.exists():
            await _build(cached, progress)
    return cached


async def _build(target: Path, progress: Progress) -> None:
    go_builds.check_free_space(target.parent, _FREE_BYTES_MIN, "livekit-server", _FIX)
    # Go gets its own folders here, so that only the binary remains and no folder of the user changes.
    scratch = Path(tempfile.mkdtemp(prefix="livekit-build-", dir=target.parent))
    try:
        go = await go_builds.go_command(scratch, _FIX)
        line = f"building livekit-server {VERSION} (first start only, 1 to 5 minutes)"
        async with progress_reminder(progress, line):
            await run_command(
                (*go, "install", "-ldflags=-s -w", MODULE),
                action="cannot build livekit-server (put it on PATH, or set LIVEKIT_URL to an existing server)",
                env=go_builds.go_environment(scratch),
                timeout_s=_BUILD_TIMEOUT_S,
            )
        (scratch / "bin" / "server").replace(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
