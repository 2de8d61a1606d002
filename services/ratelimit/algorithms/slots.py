"""Decides which holders have a slot of a concurrency limit, until they release it or its time to live is over.

adapters/slots.lua is the same algorithm inside Redis; one test suite runs against both.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Holding:
    """Whether the holder has a slot, and the slots in use, its own included."""

    acquired: bool
    in_use: int


@dataclass(slots=True)
class Slots:
    """State of one concurrency limit of one tenant: the end of each holder's slot, in microseconds."""

    ends_us: dict[str, int] = field(default_factory=dict[str, int])

    def acquire(self, holder: str, capacity_slots: int, ttl_us: int, now_us: int) -> Holding:
        """Take a slot, or renew the holder's own.

        A renewal succeeds even if the capacity was lowered below the slots in use.

        Args:
            holder: Name of the holder.
            capacity_slots: Slots of the limit; 0 means unlimited.
            ttl_us: Time to live of the slot, in microseconds.
            now_us: Current time, in microseconds.
        """
        self.ends_us = {name: end for name, end in self.ends_us.items() if end > now_us}
        free = capacity_slots == 0 or len(self.ends_us) < capacity_slots
        acquired = holder in self.ends_us or free
        if acquired:
            self.ends_us[holder] = now_us + ttl_us
        return Holding(acquired, len(self.ends_us))

    def release(self, holder: str) -> None:
        """Release the holder's slot; without one, nothing happens."""
        self.ends_us.pop(holder, None)
