"""Measures the time from a caller leaving to the vendor noticing.

python -m bench.llm_router.cancel [--times N] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from contextlib import aclosing

from bench.results import Table, add_json_option
from tests.emulators.router_harness import RouterHarness, asking, running_router
from tests.emulators.scenario import Emulator, Scenario

TABLE = Table(
    "llm_router",
    "llm_router_cancel",
    ("model", "moment", "median", "worst"),
    "From the caller leaving to the vendor noticing, for Anthropic, Gemini and OpenAI-compatible servers, "
    "before the first output and during an answer.",
)
MODELS = ("claude-sonnet-5-5", "gemini-3.8-flash", "openai-compatible")


def vendor_of(w: RouterHarness, alias: str) -> Emulator:
    return w.gemini if alias.startswith("gemini") else w.openai if alias.startswith("openai") else w.anthropic


async def once(w: RouterHarness, alias: str, *, speaking: bool) -> float:
    """Return the milliseconds from leaving, during an answer or before its first output, to the vendor's notice."""
    vendor = vendor_of(w, alias)
    vendor.disconnected.clear()
    vendor.always("*", Scenario(text="word " * 200, between_s=0.03) if speaking else Scenario(first_s=30))
    async with aclosing(w.client.generate(asking("Hello?", pin_model=alias))) as events:
        async for event in events:
            if event.text_delta or not speaking:
                break
        # Before the first output: time for the request to reach the vendor.
        await asyncio.sleep(0 if speaking else 0.2)
        left = time.monotonic()
    await asyncio.wait_for(vendor.disconnected.wait(), 10)
    return (vendor.disconnected_at_s - left) * 1000


async def run(times: int) -> list[list[str]]:
    """Return a row for each vendor and moment."""
    rows: list[list[str]] = []
    async with running_router() as w:
        for alias in MODELS:
            for speaking in (True, False):
                taken = [await once(w, alias, speaking=speaking) for _ in range(times)]
                moment = "during the answer" if speaking else "before the first output"
                rows.append([alias, moment, f"{statistics.median(taken):.1f} ms", f"{max(taken):.1f} ms"])
    return rows


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=30)
    add_json_option(parser)
    options = parser.parse_args()
    TABLE.publish(asyncio.run(run(options.times)), write=options.json)


if __name__ == "__main__":
    main()
