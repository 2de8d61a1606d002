"""Progress reports of long steps: one line of text each, for a person."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

Progress = Callable[[str], None]


def no_progress(line: str) -> None:
    """Discard the line."""
    del line


@asynccontextmanager
async def progress_reminder(progress: Progress, line: str, *, every_s: float = 20) -> AsyncGenerator[None, None]:
    """Report `line` now, and "still `line`" every `every_s` seconds until the block ends."""

    async def remind() -> None:
        while True:
            await asyncio.sleep(every_s)
            progress(f"still {line}")

    progress(line)
    reminder = asyncio.create_task(remind())
    try:
        yield
    finally:
        reminder.cancel()
