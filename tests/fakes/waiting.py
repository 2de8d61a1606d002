"""Waiting in tests: for events, with one deadline for all of them, so that no test needs a fast machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# Guards against waiting for ever, not bounds that a test holds. With four busy processes for each core, a service
# that imports three vendor SDKs was ready after 62 s.
DEADLINE_S = 120.0
START_S = 300.0
POLL_S = 0.01


async def until(condition: Callable[[], object], timeout_s: float = DEADLINE_S) -> None:
    """Wait until `condition` holds.

    Raises:
        TimeoutError: `condition` is still false after `timeout_s` seconds.
    """
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - the condition is not an event
            await asyncio.sleep(POLL_S)
