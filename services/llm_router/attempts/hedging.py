"""One model, or two after the first one's usual time is over: whoever speaks first answers, the other is ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from services.llm_router.attempts.attempt import Attempt
from services.llm_router.errors import ModelFailure


class HedgedCall:
    """Begins with one attempt; `close` ends whatever still runs."""

    def __init__(self, first: Attempt, *, hedge_delay_s: float | None, hedge: Callable[[], Attempt | None]) -> None:
        """`hedge` makes the second attempt, or None when there is nobody else to ask."""
        self.attempts = [first]
        self._hedge_after_s = hedge_delay_s
        self._hedge = hedge

    async def winner(self) -> Attempt:
        """The attempt that spoke first. Raises ModelFailure (of the first attempt) when none did."""
        first = self.attempts[0]
        second = None
        if self._hedge_after_s is not None and not await first.has_output_within(self._hedge_after_s):
            second = self._hedge()
        if second is None:
            await first.first_output()
            return first
        self.attempts.append(second)
        waiting = {asyncio.create_task(a.first_output()): a for a in self.attempts}
        try:
            return await self._first_of(waiting)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _first_of(self, waiting: dict[asyncio.Task[None], Attempt]) -> Attempt:
        open_tasks = set(waiting)
        failure: ModelFailure | None = None
        while open_tasks:
            done, open_tasks = await asyncio.wait(open_tasks, return_when=asyncio.FIRST_COMPLETED)
            # In the order in which they were asked, should both speak in the same instant.
            for task in (t for t in waiting if t in done):
                try:
                    task.result()
                except ModelFailure as error:
                    failure = failure or error
                else:
                    await self._end_others(waiting[task])
                    return waiting[task]
        assert failure is not None  # noqa: S101 - no task is open, and each ended by a failure
        raise failure

    async def _end_others(self, winner: Attempt) -> None:
        await _end(a for a in self.attempts if a is not winner)

    async def close(self) -> None:
        """End what still runs."""
        await _end(self.attempts)


async def _end(attempts: Iterable[Attempt]) -> None:
    running = [a for a in attempts if a.running]
    # At once: whoever is cancelled while waiting must not leave a vendor at work.
    for attempt in running:
        attempt.cancel()
    if running:
        await asyncio.gather(*(a.close() for a in running))
