"""Hedged calls: a second attempt starts when the first is slow; the first output wins, the other is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from services.llm_router.attempts.attempt import Attempt
from services.llm_router.errors import ModelFailure


class HedgedCall:
    """One attempt, or two. `close` cancels what still runs."""

    def __init__(self, first: Attempt, *, hedge_delay_s: float | None, hedge: Callable[[], Attempt | None]) -> None:
        """Start with `first`.

        Args:
            first: The attempt that was already started.
            hedge_delay_s: Seconds after which to hedge; None never.
            hedge: Starts the second attempt, or returns None when no candidate is left.
        """
        self.attempts = [first]
        self._hedge_delay_s = hedge_delay_s
        self._hedge = hedge

    async def winner(self) -> Attempt:
        """Return the attempt with the first output. Raises ModelFailure when every attempt fails."""
        first = self.attempts[0]
        second = None
        if self._hedge_delay_s is not None and not await first.has_output_within(self._hedge_delay_s):
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
            # In the order of starting, should both finish in the same instant.
            for task in (t for t in waiting if t in done):
                try:
                    task.result()
                except ModelFailure as error:
                    failure = failure or error
                else:
                    await self._cancel_others(waiting[task])
                    return waiting[task]
        assert failure is not None  # noqa: S101 - no task is open, and each ended by a failure
        raise failure

    async def _cancel_others(self, winner: Attempt) -> None:
        await _cancel(a for a in self.attempts if a is not winner)

    async def close(self) -> None:
        """Cancel running attempts and wait for them."""
        await _cancel(self.attempts)


async def _cancel(attempts: Iterable[Attempt]) -> None:
    running = [a for a in attempts if a.running]
    # Cancel before the first await: a cancellation during the wait must not leave a vendor call running.
    for attempt in running:
        attempt.cancel()
    if running:
        await asyncio.gather(*(a.close() for a in running))
