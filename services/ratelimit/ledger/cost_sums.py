"""Sums of cost events over a period, and the share of prompts that came from a prompt cache."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from hocket.chassis.errors import invalid_field
from services.ratelimit.ledger.cost_events import ROOM_BYTES_MAX
from services.ratelimit.text_fields import check_text

# Quantities of an event of kind "llm" that add up to its prompt; the second was read from the vendor's prompt cache.
INPUT_KINDS = ("input_tokens", "cached_input_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
CACHED_INPUT = INPUT_KINDS[1]


@dataclass(frozen=True, slots=True)
class Period:
    """The period [start, end); None means unbounded. `room` selects one room, "" all of them."""

    start: datetime | None
    end: datetime | None
    room: str


@dataclass(frozen=True, slots=True)
class CostSum:
    """The sum of all events of one kind, provider, model and tier."""

    kind: str
    provider: str
    model: str
    tier: str
    events: int
    cost_micro_usd: int
    quantities: Mapping[str, int]


def cached_input_share(sums: Iterable[CostSum]) -> float:
    """Return the share of input tokens that was read from prompt caches, 0 to 1, over sums of kind "llm"."""
    cached = total = 0
    for one in (s for s in sums if s.kind == "llm"):
        cached += one.quantities.get(CACHED_INPUT, 0)
        total += sum(one.quantities.get(name, 0) for name in INPUT_KINDS)
    return cached / total if total else 0.0


def check_period(period: Period) -> None:
    """Check the period of a GetCosts request.

    Raises:
        InvalidArgument: The period ends before it starts, or the room is malformed.
    """
    check_text("room", period.room, ROOM_BYTES_MAX)
    if period.start and period.end and period.end < period.start:
        raise invalid_field("end_time", "is before start_time")
