"""Long work says that it still goes on, and stops saying so when it is done."""

from __future__ import annotations

import asyncio

from local.progress import reminding
from tests.fakes.waiting import DEADLINE_S


async def test_long_work_is_said_to_go_on_until_it_ends():
    lines: list[str] = []
    reminded = asyncio.Event()

    def progress(line: str) -> None:
        lines.append(line)
        if len(lines) == 3:
            reminded.set()

    async with reminding(progress, "building", every_s=0.001):
        await asyncio.wait_for(reminded.wait(), DEADLINE_S)
    said = len(lines)
    await asyncio.sleep(0.02)
    assert lines[:3] == ["building", "still building", "still building"]
    assert said == len(lines)
