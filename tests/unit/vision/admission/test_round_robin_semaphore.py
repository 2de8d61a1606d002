"""Slots go to the waiting tenants in turn, and none is lost."""

from __future__ import annotations

import asyncio

import pytest

from services.vision.admission.round_robin_semaphore import RoundRobinSemaphore


class Work:
    """Tasks that hold a slot until they are ended; `began` lists them in the order of their start."""

    def __init__(self, semaphore: RoundRobinSemaphore) -> None:
        self._semaphore = semaphore
        self._ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.began: list[str] = []

    async def begin(self, *names: str) -> None:
        """Start tasks; a name is a tenant and a number, such as `a1`."""
        for name in names:
            self._ends[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._hold(name))
        await settled()

    async def _hold(self, name: str) -> None:
        async with self._semaphore.slot(name[0]):
            self.began.append(name)
            await self._ends[name].wait()

    async def end(self, *names: str) -> None:
        for name in names:
            self._ends[name].set()
            await settled()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_waiting_tenants_are_served_round_robin():
    semaphore = RoundRobinSemaphore(2)
    work = Work(semaphore)
    await work.begin("a1", "a2", "a3", "a4", "a5", "b1", "b2", "c1")
    assert work.began == ["a1", "a2"]
    assert [semaphore.waiting(tenant) for tenant in "abcd"] == [3, 2, 1, 0]
    await work.end("a1", "a2", "a3", "b1", "c1", "a4")
    assert work.began == ["a1", "a2", "a3", "b1", "c1", "a4", "b2", "a5"]


async def test_a_slot_is_released_when_its_holder_fails():
    semaphore = RoundRobinSemaphore(1)
    for _ in range(3):
        with pytest.raises(ValueError, match="broken"):
            async with semaphore.slot("a"):
                raise ValueError("broken")
    work = Work(semaphore)
    await work.begin("a1")
    assert work.began == ["a1"]


async def test_a_cancelled_waiter_takes_no_slot():
    semaphore = RoundRobinSemaphore(1)
    work = Work(semaphore)
    await work.begin("a1", "b1", "b2", "c1")
    work.tasks["b1"].cancel()
    # In the same loop iteration, before the cancelled task runs.
    await work.end("a1")
    assert work.began == ["a1", "b2"]
    work.tasks["c1"].cancel()
    await settled()
    assert semaphore.waiting("c") == 0
    await work.end("b2")
    await work.begin("d1")
    assert work.began == ["a1", "b2", "d1"]


async def test_a_slot_granted_to_a_cancelled_waiter_goes_to_the_next():
    semaphore = RoundRobinSemaphore(1)
    work = Work(semaphore)
    async with semaphore.slot("a"):
        await work.begin("b1", "c1")
    # The slot is granted to b1, whose task has not run yet.
    work.tasks["b1"].cancel()
    await settled()
    assert work.began == ["c1"]
