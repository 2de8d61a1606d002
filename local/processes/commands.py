"""Run a setup command to its end; kill it with its children on timeout or cancellation."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from local.errors import LocalError, translate_os_errors

_LAST_LINES = 3


async def run_command(
    argv: Sequence[str], *, action: str, env: Mapping[str, str], timeout_s: float, cwd: Path | None = None
) -> str:
    """Run a command and return its output (stdout and stderr together).

    Args:
        argv: program and arguments.
        action: start of the error message, for instance "cannot build livekit-server".
        env: the whole environment of the command.
        timeout_s: limit in seconds.
        cwd: working folder; None for the current one.

    Raises:
        LocalError: The command failed or took longer than `timeout_s`; the message ends with its last lines of output.
    """
    with translate_os_errors(action):
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=env,
            cwd=cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(timeout_s):
            output, _ = await process.communicate()
    except TimeoutError as error:
        raise LocalError(f"{action}: timed out after {timeout_s:.0f} s") from error
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    text = output.decode(errors="replace")
    if process.returncode != 0:
        raise LocalError(f"{action}: {last_lines(text) or f'exit code {process.returncode}'}")
    return text


def last_lines(text: str) -> str:
    """Return the last three lines of a program's output, joined into one line; a full disk is named as such."""
    if "no space left on device" in text.lower():
        return "the disk is full; free some space and start again"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-_LAST_LINES:])
