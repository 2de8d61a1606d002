"""How many answers one tenant may have running at once, so that none fills a server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from services.llm_router.errors import TooManyAnswers


class TenantConcurrency:
    """Answers running on this server, by tenant."""

    def __init__(self, answers_max: int) -> None:
        """Allow each tenant `answers_max`."""
        self._answers_max = answers_max
        self._running: Counter[str] = Counter()

    @property
    def running(self) -> int:
        """How many run now, of all tenants."""
        return self._running.total()

    @contextmanager
    def slot(self, tenant_id: str) -> Generator[None, None, None]:
        """Around one answer. Raises TooManyAnswers."""
        if self._running[tenant_id] >= self._answers_max:
            raise TooManyAnswers(
                f"{self._answers_max} answers of this tenant are running here, as many as may; end one, or call another"
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
