"""Semaphore that serves waiting tenants round-robin, so that a tenant's backlog delays only that tenant."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class RoundRobinSemaphore:
    """A number of slots; free ones go to the waiting tenants in turn, and within a tenant first come, first served."""

    def __init__(self, slots: int) -> None:
        """Start with `slots` free slots."""
        self._free = slots
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    def waiting(self, tenant_id: str) -> int:
        """Return how many tasks of a tenant wait for a slot."""
        return sum(not waiter.cancelled() for waiter in self._waiting.get(tenant_id, ()))

    @asynccontextmanager
    async def slot(self, tenant_id: str) -> AsyncGenerator[None, None]:
        """Hold one slot for the block; waits until one is free."""
        await self._acquire(tenant_id)
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, tenant_id: str) -> None:
        if self._free:
            self._free -= 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant_id, deque()).append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():
                # The slot was granted in the same loop iteration as the cancellation: pass it on.
                self._release()
            raise

    def _release(self) -> None:
        while self._waiting:
            tenant_id, queue = self._waiting.popitem(last=False)
            while queue and queue[0].cancelled():
                queue.popleft()
            if not queue:
                continue
            queue.popleft().set_result(None)
            if queue:
                # To the end of the order, behind the other tenants.
                self._waiting[tenant_id] = queue
            return
        self._free += 1
