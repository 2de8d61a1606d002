"""Limits the answers that one tenant may run at once on this server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from services.llm_router.errors import TooManyAnswers


class TenantConcurrency:
    """Concurrency slots of each tenant."""

    def __init__(self, answers_max: int) -> None:
        """Give each tenant `answers_max` slots."""
        self._answers_max = answers_max
        self._running: Counter[str] = Counter()

    @property
    def running(self) -> int:
        """Answers that run now, of all tenants."""
        return self._running.total()

    @contextmanager
    def slot(self, tenant_id: str) -> Generator[None, None, None]:
        """Hold one of the tenant's concurrency slots for the block.

        Raises:
            TooManyAnswers: All slots are taken.
        """
        if self._running[tenant_id] >= self._answers_max:
            raise TooManyAnswers(
                f"the tenant runs {self._answers_max} answers on this server, the maximum; end one or call another"
                " replica",
                retry_after_s=1,
            )
        self._running[tenant_id] += 1
        try:
            yield
        finally:
            self._running[tenant_id] -= 1
            if not self._running[tenant_id]:
                del self._running[tenant_id]
