"""Concurrency slots: capacity, renewal, expiry and release."""

from __future__ import annotations

from services.ratelimit.algorithms.slots import Holding, Slots


def test_slots_are_granted_up_to_the_capacity_and_renewed_above_it():
    slots = Slots()
    assert slots.acquire("a", 2, 100, 0) == Holding(acquired=True, in_use=1)
    assert slots.acquire("b", 2, 100, 0) == Holding(acquired=True, in_use=2)
    assert slots.acquire("c", 2, 100, 0) == Holding(acquired=False, in_use=2)
    assert slots.acquire("a", 1, 100, 50) == Holding(acquired=True, in_use=2)


def test_slot_expires_unless_renewed():
    slots = Slots()
    slots.acquire("a", 1, 100, 0)
    assert not slots.acquire("b", 1, 100, 99).acquired
    slots.acquire("a", 1, 100, 99)
    assert not slots.acquire("b", 1, 100, 198).acquired
    assert slots.acquire("b", 1, 100, 199) == Holding(acquired=True, in_use=1)


def test_second_release_has_no_effect():
    slots = Slots()
    slots.acquire("a", 1, 100, 0)
    slots.release("a")
    slots.release("a")
    assert slots.acquire("b", 1, 100, 1).acquired


def test_capacity_of_zero_is_unlimited():
    slots = Slots()
    assert all(slots.acquire(str(n), 0, 100, 0).acquired for n in range(50))
