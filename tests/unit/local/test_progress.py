"""Reminders during long steps."""

from __future__ import annotations

import asyncio

from local.progress import progress_reminder
from tests.fakes.waiting import DEADLINE_S


async def test_reminders_repeat_until_the_block_ends():
    lines: list[str] = []
    reminded = asyncio.Event()

    def progress(line: str) -> None:
        lines.append(line)
        if len(lines) == 3:
            reminded.set()

    async with progress_reminder(progress, "building", every_s=0.001):
        await asyncio.wait_for(reminded.wait(), DEADLINE_S)
    reported = len(lines)
    await asyncio.sleep(0.02)
    assert lines[:3] == ["building", "still building", "still building"]
    assert reported == len(lines)
