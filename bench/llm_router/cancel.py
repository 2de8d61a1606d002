"""How long after its caller leaves a vendor is left alone.

python -m bench.llm_router.cancel [--times N]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from contextlib import aclosing

from tests.emulators.scenario import Emulator, Scenario
from tests.emulators.world import World, asking, world

MODELS = ("claude-sonnet-5-5", "gemini-3.8-flash", "openai-compatible")


def vendor_of(w: World, alias: str) -> Emulator:
    return w.gemini if alias.startswith("gemini") else w.openai if alias.startswith("openai") else w.anthropic


async def once(w: World, alias: str, *, speaking: bool) -> float:
    """Milliseconds from leaving, in the middle of an answer or before its first word, to the vendor's notice."""
    vendor = vendor_of(w, alias)
    vendor.gone.clear()
    vendor.always("*", Scenario(text="word " * 200, between_s=0.03) if speaking else Scenario(first_s=30))
    async with aclosing(w.client.generate(asking("Hello?", pin_model=alias))) as events:
        async for event in events:
            if event.text_delta or not speaking:
                break
        # Before the first word: time for the request to reach the vendor.
        await asyncio.sleep(0 if speaking else 0.2)
        left = time.monotonic()
    await asyncio.wait_for(vendor.gone.wait(), 10)
    return (vendor.gone_at - left) * 1000


async def run(times: int) -> None:
    """Print a row for each vendor and moment."""
    print("| model | moment | median, ms | worst, ms |\n|---|---|---|---|")
    async with world() as w:
        for alias in MODELS:
            for speaking in (True, False):
                taken = [await once(w, alias, speaking=speaking) for _ in range(times)]
                moment = "while it speaks" if speaking else "before its first word"
                print(f"| {alias} | {moment} | {statistics.median(taken):.1f} | {max(taken):.1f} |")


def main() -> None:
    """Be the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=30)
    asyncio.run(run(parser.parse_args().times))


if __name__ == "__main__":
    main()
