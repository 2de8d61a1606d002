"""Decides whether what a caller asks for is well formed; each problem names the field and what to send."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hocket.chassis.errors import invalid_field

LIMIT_NAME = re.compile(r"[a-z0-9_]{1,64}")
COST_UNITS_MAX = 1_000_000_000
SUBJECT_BYTES_MAX = 128
HOLDER_BYTES_MAX = 256
SPENDS_MAX = 16
ROWS_MAX = 1024
LEASE_UNITS_MAX = 1_000_000
SLOT_TTL_S_MIN, SLOT_TTL_S_DEFAULT, SLOT_TTL_S_MAX = 1, 60, 86_400
LEASE_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Spend:
    """A cost against one named limit, well formed."""

    limit: str
    cost_units: int
    subject: str


def spend(field: str, limit: str, cost_units: int, subject: str) -> Spend:
    """A well-formed spend; a cost of 0 means 1. Raises InvalidArgument naming the path below `field`."""
    prefix = f"{field}." if field else ""
    check_name(f"{prefix}limit", limit)
    check_text(f"{prefix}subject", subject, SUBJECT_BYTES_MAX)
    if not 0 <= cost_units <= COST_UNITS_MAX:
        raise invalid_field(f"{prefix}cost", f"must be 1 to {COST_UNITS_MAX}, or 0 for 1")
    return Spend(limit, cost_units or 1, subject)


def check_spends(spends: Sequence[Spend]) -> None:
    """Raise InvalidArgument unless there are 1 to 16 spends of different buckets."""
    if not 1 <= len(spends) <= SPENDS_MAX:
        raise invalid_field("spends", f"must hold 1 to {SPENDS_MAX} entries")
    seen: set[tuple[str, str]] = set()
    for index, one in enumerate(spends):
        if (one.limit, one.subject) in seen:
            raise invalid_field(f"spends[{index}]", "repeats a limit and subject; add the costs up")
        seen.add((one.limit, one.subject))


def columns(limits: Sequence[str], subjects: Sequence[str], costs: Sequence[int]) -> list[Spend]:
    """The rows of a columnar batch. Raises InvalidArgument when lengths differ or a row is malformed."""
    rows = len(limits)
    if not 1 <= rows <= ROWS_MAX:
        raise invalid_field("limits", f"must hold 1 to {ROWS_MAX} rows")
    for name, column in (("subjects", subjects), ("costs", costs)):
        if len(column) not in {0, rows}:
            raise invalid_field(name, f"must be empty or as long as limits, {rows} rows")
    return [
        spend(f"rows[{row}]", limits[row], costs[row] if costs else 1, subjects[row] if subjects else "")
        for row in range(rows)
    ]


def check_name(field: str, name: str) -> None:
    """Raise InvalidArgument unless `name` may name a limit."""
    if not LIMIT_NAME.fullmatch(name):
        raise invalid_field(field, "must be 1 to 64 characters of [a-z0-9_], for instance llm_requests")


def check_text(field: str, text: str, bytes_max: int, *, required: bool = False) -> None:
    """Raise InvalidArgument for a text that is too long, empty though required, or holds control characters."""
    if required and not text:
        raise invalid_field(field, "must not be empty")
    if len(text.encode()) > bytes_max:
        raise invalid_field(field, f"must be at most {bytes_max} bytes")
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise invalid_field(field, "must not hold control characters")


def slot_ttl_s(seconds: float | None) -> float:
    """How long a slot is held; None means 60 s. Raises InvalidArgument outside of 1 s to 24 h."""
    if seconds is None:
        return SLOT_TTL_S_DEFAULT
    if not SLOT_TTL_S_MIN <= seconds <= SLOT_TTL_S_MAX:
        raise invalid_field("ttl", f"must be {SLOT_TTL_S_MIN} s to {SLOT_TTL_S_MAX // 3600} h")
    return seconds


def check_lease_units(units: int) -> None:
    """Raise InvalidArgument unless `units` may be asked for in a lease."""
    if not 1 <= units <= LEASE_UNITS_MAX:
        raise invalid_field("units", f"must be 1 to {LEASE_UNITS_MAX}")


def check_return(lease_id: str, units: int) -> None:
    """Raise InvalidArgument unless a return is well formed."""
    if not LEASE_ID.fullmatch(lease_id):
        raise invalid_field("lease_id", "must be the lease_id of a LeaseResponse: 32 hexadecimal digits")
    if not 0 <= units <= LEASE_UNITS_MAX:
        raise invalid_field("units", f"must be 0 to {LEASE_UNITS_MAX}")
