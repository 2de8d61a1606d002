"""Decides whether a cost event may enter the book: every field in its bounds, nothing guessed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hocket.chassis.errors import invalid_field
from services.ratelimit.spends import check_text

EVENTS_MAX = 1000
QUANTITIES_MAX = 16
# A million dollars for one call; with int64 sums that leaves nine million such calls a period.
COST_MICRO_USD_MAX = 1_000_000_000_000
QUANTITY_MAX = 1_000_000_000_000
# Beyond this the caller's clock is wrong, and the event would fall outside of every period that is asked for.
AHEAD_MAX = timedelta(days=1)
EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
KINDS = ("llm", "stt", "tts", "embedding", "rerank")
OUTCOMES = ("ok", "cancelled", "failed")
# Quantities of an event of kind "llm" that add up to its prompt; the second is what a prompt cache gave.
INPUT_KINDS = ("input_tokens", "cached_input_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
CACHED_INPUT = INPUT_KINDS[1]
_QUANTITY_NAME = re.compile(r"[a-z0-9_]{1,64}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_BYTES_MAX = {"provider": 64, "model": 128, "room": 256, "turn_id": 128, "tier": 64, "price_row": 128}
_REQUIRED = ("provider", "model")


@dataclass(frozen=True, slots=True)
class CostEvent:
    """One vendor call. `kind` and `outcome` are words of KINDS and OUTCOMES, empty when the caller named none."""

    event_id: str
    occurred_at: datetime | None
    kind: str
    provider: str
    model: str
    cost_micro_usd: int
    quantities: Mapping[str, int]
    room: str
    turn_id: str
    tier: str
    price_row: str
    speculative: bool
    outcome: str

    @property
    def uuid(self) -> UUID:
        """The event id as a UUID."""
        return UUID(self.event_id)


@dataclass(frozen=True, slots=True)
class CostSum:
    """The events of one kind, provider, model and tier, added up."""

    kind: str
    provider: str
    model: str
    tier: str
    events: int
    cost_micro_usd: int
    quantities: Mapping[str, int]


def cached_input_share(sums: Iterable[CostSum]) -> float:
    """Share of the input tokens of language model calls that was read from prompt caches, 0 to 1."""
    cached = total = 0
    for one in (s for s in sums if s.kind == "llm"):
        cached += one.quantities.get(CACHED_INPUT, 0)
        total += sum(one.quantities.get(name, 0) for name in INPUT_KINDS)
    return cached / total if total else 0.0


@dataclass(frozen=True, slots=True)
class Period:
    """Half-open, [start, end); None for no bound. `room` narrows to one room, empty means all."""

    start: datetime | None
    end: datetime | None
    room: str


def check_events(events: Sequence[CostEvent], now: datetime) -> None:
    """Raise InvalidArgument naming the first field that is wrong."""
    if not 1 <= len(events) <= EVENTS_MAX:
        raise invalid_field("events", f"must hold 1 to {EVENTS_MAX} events")
    for index, event in enumerate(events):
        _check(f"events[{index}]", event, now)


def _check(path: str, event: CostEvent, now: datetime) -> None:
    if not _UUID.fullmatch(event.event_id):
        raise invalid_field(f"{path}.event_id", "must be a UUID in text form, chosen once for the vendor call")
    if event.occurred_at is None:
        raise invalid_field(f"{path}.occurred_at", "must be set to when the call ended")
    if not EARLIEST <= event.occurred_at <= now + AHEAD_MAX:
        raise invalid_field(f"{path}.occurred_at", "must lie after 2020 and at most a day ahead; is the clock right?")
    if event.kind not in KINDS:
        raise invalid_field(f"{path}.kind", f"must be one of {', '.join(KINDS)}")
    if event.outcome not in OUTCOMES:
        raise invalid_field(f"{path}.outcome", f"must be one of {', '.join(OUTCOMES)}")
    for name, bytes_max in _BYTES_MAX.items():
        check_text(f"{path}.{name}", getattr(event, name), bytes_max, required=name in _REQUIRED)
    if not 0 <= event.cost_micro_usd <= COST_MICRO_USD_MAX:
        raise invalid_field(f"{path}.cost_micro_usd", f"must be 0 to {COST_MICRO_USD_MAX}")
    _check_quantities(f"{path}.quantities", event.quantities)


def _check_quantities(path: str, quantities: Mapping[str, int]) -> None:
    if len(quantities) > QUANTITIES_MAX:
        raise invalid_field(path, f"must hold at most {QUANTITIES_MAX} entries")
    for name, units in quantities.items():
        if not _QUANTITY_NAME.fullmatch(name):
            raise invalid_field(path, "must be named by 1 to 64 characters of [a-z0-9_], for instance input_tokens")
        if not 0 <= units <= QUANTITY_MAX:
            raise invalid_field(f"{path}.{name}", f"must be 0 to {QUANTITY_MAX}")


def check_period(period: Period) -> None:
    """Raise InvalidArgument for a period that ends before it starts, or a malformed room."""
    check_text("room", period.room, _BYTES_MAX["room"])
    if period.start and period.end and period.end < period.start:
        raise invalid_field("end_time", "must not lie before start_time")
