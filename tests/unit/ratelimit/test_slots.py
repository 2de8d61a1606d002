"""Who holds a slot."""

from __future__ import annotations

from services.ratelimit.slots import Holding, Slots


def test_slots_are_given_up_to_the_capacity_and_renewed_beyond_it():
    slots = Slots()
    assert slots.acquire("a", 2, 100, 0) == Holding(acquired=True, in_use=1)
    assert slots.acquire("b", 2, 100, 0) == Holding(acquired=True, in_use=2)
    assert slots.acquire("c", 2, 100, 0) == Holding(acquired=False, in_use=2)
    assert slots.acquire("a", 1, 100, 50) == Holding(acquired=True, in_use=2)


def test_a_slot_ends_with_its_time_unless_renewed():
    slots = Slots()
    slots.acquire("a", 1, 100, 0)
    assert not slots.acquire("b", 1, 100, 99).acquired
    slots.acquire("a", 1, 100, 99)
    assert not slots.acquire("b", 1, 100, 198).acquired
    assert slots.acquire("b", 1, 100, 199) == Holding(acquired=True, in_use=1)


def test_releasing_twice_is_not_an_error():
    slots = Slots()
    slots.acquire("a", 1, 100, 0)
    slots.release("a")
    slots.release("a")
    assert slots.acquire("b", 1, 100, 1).acquired


def test_no_capacity_means_unlimited():
    slots = Slots()
    assert all(slots.acquire(str(n), 0, 100, 0).acquired for n in range(50))
