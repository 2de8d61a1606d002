"""What the attempts of one request cost, each booked once: after its vendor has counted, or without."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from services.llm_router.attempts.attempt import Attempt
from services.llm_router.billing.attempt_cost import AttemptCost

_log = structlog.get_logger()


class Settlement:
    """Attempts that are over are opened at once and closed before the request ends, whichever way it does."""

    def __init__(self, record_cost: Callable[[AttemptCost], None], tenant_tier: str) -> None:
        """`book` is told of each cost once."""
        self._record_cost = record_cost
        self._tenant_tier = tenant_tier
        self._open: list[tuple[Attempt, asyncio.Task[None] | None]] = []
        self.costs: list[AttemptCost] = []

    @property
    def used_tokens(self) -> int:
        """Tokens of all attempts, read and written."""
        return sum(cost.usage.prompt_tokens + cost.usage.output_tokens for cost in self.costs)

    def add(self, attempts: Sequence[Attempt]) -> None:
        """These are over. A vendor that must count does it beside whatever comes next: nobody hears it."""
        for attempt in attempts:
            counting = asyncio.create_task(_count(attempt), name="count") if attempt.has_unreported_output else None
            self._open.append((attempt, counting))

    async def settle(self, within_s: float | None = None) -> None:
        """Book all that is open; what is not counted `within_s` seconds is estimated."""
        opened, self._open = self._open, []
        counting = [task for _, task in opened if task is not None]
        try:
            if counting:
                await asyncio.wait(counting, timeout=within_s)
        finally:
            for task in counting:
                task.cancel()
            for attempt, _ in opened:
                self._record(attempt)

    def _record(self, attempt: Attempt) -> None:
        try:
            cost = attempt.cost()
            self.costs.append(cost)
            self._record_cost(cost)
            attempt.record_telemetry(self._tenant_tier)
        except Exception:  # noqa: BLE001 - whatever is wrong with one
            # The others are money, too.
            _log.exception("attempt not booked", model=attempt.candidate.alias)


async def _count(attempt: Attempt) -> None:
    try:
        await attempt.count_tokens()
    except Exception:  # noqa: BLE001 - a vendor's odd answer costs the exact number and no more
        _log.exception("attempt not counted", model=attempt.candidate.alias)
