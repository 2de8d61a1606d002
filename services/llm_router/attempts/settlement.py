"""Settles the attempts of one request: each cost is recorded exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from services.llm_router.attempts.attempt import Attempt
from services.llm_router.billing.attempt_cost import AttemptCost

_log = structlog.get_logger()


class Settlement:
    """Collect finished attempts and record each cost exactly once, at the latest in `settle()`."""

    def __init__(self, record_cost: Callable[[AttemptCost], None], tenant_tier: str) -> None:
        """Record costs through `record_cost`; `tenant_tier` labels the metrics."""
        self._record_cost = record_cost
        self._tenant_tier = tenant_tier
        self._open: list[tuple[Attempt, asyncio.Task[None] | None]] = []
        self.costs: list[AttemptCost] = []

    @property
    def used_tokens(self) -> int:
        """Input and output tokens of all recorded attempts."""
        return sum(cost.usage.prompt_tokens + cost.usage.output_tokens for cost in self.costs)

    def add(self, attempts: Sequence[Attempt]) -> None:
        """Register finished attempts; fetch missing usage with count_tokens in the background."""
        for attempt in attempts:
            counting = asyncio.create_task(_count(attempt), name="count") if attempt.has_unreported_output else None
            self._open.append((attempt, counting))

    async def settle(self, within_s: float | None = None) -> None:
        """Record every registered attempt.

        Args:
            within_s: Seconds to wait for token counts; attempts without a count by then are estimated. None waits for
                all.
        """
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
        except Exception:  # noqa: BLE001 - one broken attempt must not block the others
            # The other attempts must still be recorded.
            _log.exception("attempt cost not recorded", model=attempt.candidate.alias)


async def _count(attempt: Attempt) -> None:
    try:
        await attempt.count_tokens()
    except Exception:  # noqa: BLE001 - without a count the tokens are estimated
        _log.exception("tokens not counted", model=attempt.candidate.alias)
