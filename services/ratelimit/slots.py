"""Decides who holds a slot of a concurrency limit: a holder keeps its slot until it releases it or its time is over.

adapters/slots.lua mirrors this module inside Redis; one suite holds both to the same answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Holding:
    """Whether the holder has a slot, and how many are in use."""

    acquired: bool
    in_use: int


@dataclass(slots=True)
class Slots:
    """The state of one concurrency limit of one tenant: when each holder's time is over."""

    ends_us: dict[str, int] = field(default_factory=dict[str, int])

    def acquire(self, holder: str, capacity_slots: int, ttl_us: int, now_us: int) -> Holding:
        """Take a slot, or renew the one held even where the capacity has since been lowered; 0 means unlimited."""
        self.ends_us = {name: end for name, end in self.ends_us.items() if end > now_us}
        free = capacity_slots == 0 or len(self.ends_us) < capacity_slots
        acquired = holder in self.ends_us or free
        if acquired:
            self.ends_us[holder] = now_us + ttl_us
        return Holding(acquired, len(self.ends_us))

    def release(self, holder: str) -> None:
        """Give the slot back, if it is held."""
        self.ends_us.pop(holder, None)
