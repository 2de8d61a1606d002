"""Commands that a set-up step runs to their end: killed with all they started when the step is given up."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from local.errors import LocalError, explained

_LAST_LINES = 3


async def run_to_end(
    argv: Sequence[str], *, doing: str, env: Mapping[str, str], timeout_s: float, cwd: Path | None = None
) -> str:
    """Run a command and return what it printed.

    Raises:
        LocalError: It failed or took longer than `timeout_s`; the message ends with its last words.
    """
    with explained(doing):
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
        raise LocalError(f"{doing}: not done within {timeout_s:.0f} s") from error
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    text = output.decode(errors="replace")
    if process.returncode != 0:
        raise LocalError(f"{doing}: {last_words(text) or f'exit code {process.returncode}'}")
    return text


def last_words(text: str) -> str:
    """The last lines of a program's output, as one line."""
    if "no space left on device" in text.lower():
        return "the disk is full; free some space and start again"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-_LAST_LINES:])
