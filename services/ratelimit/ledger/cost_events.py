"""Decides whether a cost event may be recorded: every field within its bounds, no value guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hocket.chassis.errors import invalid_field
from services.ratelimit.text_fields import check_text

EVENTS_MAX = 1000
QUANTITIES_MAX = 16
# A million dollars for one call. An int64 sum then holds nine million such calls.
COST_MICRO_USD_MAX = 1_000_000_000_000
QUANTITY_MAX = 1_000_000_000_000
# An event further ahead comes from a wrong clock, and would be missing in the sums of every usual period.
AHEAD_MAX = timedelta(days=1)
EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
ROOM_BYTES_MAX = 256
KINDS = ("llm", "stt", "tts", "embedding", "rerank")
OUTCOMES = ("ok", "cancelled", "failed")
_QUANTITY_NAME = re.compile(r"[a-z0-9_]{1,64}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_BYTES_MAX = {"provider": 64, "model": 128, "room": ROOM_BYTES_MAX, "turn_id": 128, "tier": 64, "price_row": 128}
_REQUIRED = ("provider", "model")


@dataclass(frozen=True, slots=True)
class CostEvent:
    """The cost of one vendor call; ledger.proto describes each field.

    `kind` is one of KINDS and `outcome` one of OUTCOMES; both are "" if the caller set none.
    """

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


def check_events(events: Sequence[CostEvent], now: datetime) -> None:
    """Check the events of one RecordCosts request.

    Args:
        events: The events.
        now: Current time, with a time zone.

    Raises:
        InvalidArgument: There are not 1 to 1000 events, or a field is malformed; the error names the first such field.
    """
    if not 1 <= len(events) <= EVENTS_MAX:
        raise invalid_field("events", f"holds {len(events)} events; must hold 1 to {EVENTS_MAX}")
    for index, event in enumerate(events):
        _check(f"events[{index}]", event, now)


def _check(path: str, event: CostEvent, now: datetime) -> None:
    if not _UUID.fullmatch(event.event_id):
        raise invalid_field(f"{path}.event_id", "must be a UUID in text form, the same for every retry of the event")
    if event.occurred_at is None:
        raise invalid_field(f"{path}.occurred_at", "must be set to the end of the vendor call")
    if not EARLIEST <= event.occurred_at <= now + AHEAD_MAX:
        at = event.occurred_at.isoformat()
        raise invalid_field(f"{path}.occurred_at", f"is {at}; must be after 2020, at most a day ahead; check the clock")
    if event.kind not in KINDS:
        raise invalid_field(f"{path}.kind", f"must be one of {', '.join(KINDS)}")
    if event.outcome not in OUTCOMES:
        raise invalid_field(f"{path}.outcome", f"must be one of {', '.join(OUTCOMES)}")
    for name, bytes_max in _BYTES_MAX.items():
        check_text(f"{path}.{name}", getattr(event, name), bytes_max, required=name in _REQUIRED)
    if not 0 <= event.cost_micro_usd <= COST_MICRO_USD_MAX:
        raise invalid_field(f"{path}.cost_micro_usd", f"is {event.cost_micro_usd}; must be 0 to {COST_MICRO_USD_MAX}")
    _check_quantities(f"{path}.quantities", event.quantities)


def _check_quantities(path: str, quantities: Mapping[str, int]) -> None:
    if len(quantities) > QUANTITIES_MAX:
        raise invalid_field(path, f"holds {len(quantities)} entries; must hold at most {QUANTITIES_MAX}")
    for name, units in quantities.items():
        if not _QUANTITY_NAME.fullmatch(name):
            raise invalid_field(path, "keys must be 1 to 64 characters of [a-z0-9_], for instance input_tokens")
        if not 0 <= units <= QUANTITY_MAX:
            raise invalid_field(f"{path}.{name}", f"is {units}; must be 0 to {QUANTITY_MAX}")
