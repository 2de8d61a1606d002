"""The emulated vendor of the latency bench, in a process of its own: `emulated PORT EVENTS`."""

from __future__ import annotations

import asyncio
import sys

from tests.emulators.anthropic_emulator import AnthropicEmulator
from tests.emulators.scenario import Scenario

FIRST_S = 0.05
EVENTS_PER_S = 30


async def serve(port: int, events: int) -> None:
    """Serve until ended."""
    emulator = AnthropicEmulator()
    emulator.always("*", Scenario(stamped=events, first_s=FIRST_S, between_s=1 / EVENTS_PER_S))
    await emulator.start(port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
