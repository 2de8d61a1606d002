"""Slots that tenants take in turn: who has much waiting waits for itself and holds up nobody else."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class RoundRobinSemaphore:
    """A number of slots. Those who wait take the free ones tenant by tenant, each tenant in the order it came in."""

    def __init__(self, slots: int) -> None:
        """Begin with `slots` free ones."""
        self._free = slots
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    def waiting(self, tenant_id: str) -> int:
        """How many of a tenant's wait for a slot."""
        return sum(not turn.cancelled() for turn in self._waiting.get(tenant_id, ()))

    @asynccontextmanager
    async def slot(self, tenant_id: str) -> AsyncGenerator[None, None]:
        """Hold a slot; waits for one."""
        await self._take(tenant_id)
        try:
            yield
        finally:
            self._give()

    async def _take(self, tenant_id: str) -> None:
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant_id, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                # The slot came in the same moment: it is the next one's.
                self._give()
            raise

    def _give(self) -> None:
        while self._waiting:
            tenant_id, queue = self._waiting.popitem(last=False)
            while queue and queue[0].cancelled():
                queue.popleft()
            if not queue:
                continue
            queue.popleft().set_result(None)
            if queue:
                # Behind the others, until its turn comes round again.
                self._waiting[tenant_id] = queue
            return
        self._free += 1
