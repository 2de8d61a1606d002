"""How a step says where it is: one line of text, for a person."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

Progress = Callable[[str], None]


def silent(line: str) -> None:
    """Say nothing."""
    del line


@asynccontextmanager
async def reminding(progress: Progress, line: str, *, every_s: float = 20) -> AsyncGenerator[None, None]:
    """Say `line` now, and that it still goes on every `every_s` seconds until the block ends."""

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
