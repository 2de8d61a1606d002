"""Wait for conditions in tests, with one generous deadline that also suits slow machines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# These limits end a hanging test; they are not assertions. With four busy processes per core, a service that imports
# three vendor SDKs took 62 s to become ready.
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
