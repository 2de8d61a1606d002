"""Decides whether a rate-limit request is well formed; an error names the field and the allowed values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hocket.chassis.errors import invalid_field
from services.ratelimit.text_fields import check_limit_name, check_text

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
    """A well-formed cost against one named limit; `subject` is "" for the tenant as a whole."""

    limit: str
    cost_units: int
    subject: str


def parse_spend(field: str, limit: str, cost_units: int, subject: str) -> Spend:
    """Check the fields of a spend.

    Args:
        field: Path of the message in the request, for errors; "" if the fields are those of the request itself.
        limit: Name of the limit.
        cost_units: Units, 0 to 1,000,000,000; 0 means 1.
        subject: Subject below the tenant, at most 128 bytes.

    Raises:
        InvalidArgument: A field is malformed.
    """
    prefix = f"{field}." if field else ""
    check_limit_name(f"{prefix}limit", limit)
    check_text(f"{prefix}subject", subject, SUBJECT_BYTES_MAX)
    if not 0 <= cost_units <= COST_UNITS_MAX:
        raise invalid_field(f"{prefix}cost", f"is {cost_units}; must be 1 to {COST_UNITS_MAX}, or 0 for 1")
    return Spend(limit, cost_units or 1, subject)


def check_spends(spends: Sequence[Spend]) -> None:
    """Check the spends of one Check request.

    Raises:
        InvalidArgument: There are not 1 to 16 spends, or two have the same limit and subject.
    """
    if not 1 <= len(spends) <= SPENDS_MAX:
        raise invalid_field("spends", f"holds {len(spends)} entries; must hold 1 to {SPENDS_MAX}")
    seen: set[tuple[str, str]] = set()
    for index, one in enumerate(spends):
        if (one.limit, one.subject) in seen:
            raise invalid_field(f"spends[{index}]", "repeats a limit and subject; add up the costs")
        seen.add((one.limit, one.subject))


def parse_columns(limits: Sequence[str], subjects: Sequence[str], costs: Sequence[int]) -> list[Spend]:
    """Return the rows of a columnar batch.

    Args:
        limits: Names of limits, 1 to 1024.
        subjects: Subjects, as many as limits, or empty for none.
        costs: Costs, as many as limits, or empty for 1 each.

    Raises:
        InvalidArgument: The columns differ in length, or a row is malformed.
    """
    rows = len(limits)
    if not 1 <= rows <= ROWS_MAX:
        raise invalid_field("limits", f"holds {rows} rows; must hold 1 to {ROWS_MAX}")
    for name, column in (("subjects", subjects), ("costs", costs)):
        if len(column) not in {0, rows}:
            raise invalid_field(name, f"holds {len(column)} rows; must be empty or hold {rows}, as limits does")
    return [
        parse_spend(f"rows[{row}]", limits[row], costs[row] if costs else 1, subjects[row] if subjects else "")
        for row in range(rows)
    ]


def check_holder(holder: str) -> None:
    """Check the holder of a slot.

    Raises:
        InvalidArgument: `holder` is not 1 to 256 bytes without control characters.
    """
    check_text("holder", holder, HOLDER_BYTES_MAX, required=True)


def slot_ttl_s(seconds: float | None) -> float:
    """Return the seconds for which a slot is held; None means 60.

    Raises:
        InvalidArgument: `seconds` is not 1 to 86,400.
    """
    if seconds is None:
        return SLOT_TTL_S_DEFAULT
    if not SLOT_TTL_S_MIN <= seconds <= SLOT_TTL_S_MAX:
        raise invalid_field("ttl", f"is {seconds:g} s; must be {SLOT_TTL_S_MIN} s to {SLOT_TTL_S_MAX // 3600} h")
    return seconds


def check_lease_units(units: int) -> None:
    """Check the units wanted in a lease.

    Raises:
        InvalidArgument: `units` is not 1 to 1,000,000.
    """
    if not 1 <= units <= LEASE_UNITS_MAX:
        raise invalid_field("units", f"is {units}; must be 1 to {LEASE_UNITS_MAX}")


def check_return(lease_id: str, units: int) -> None:
    """Check the return of a lease.

    Raises:
        InvalidArgument: The id is not one of a LeaseResponse, or `units` is not 0 to 1,000,000.
    """
    if not LEASE_ID.fullmatch(lease_id):
        raise invalid_field("lease_id", "must be the lease_id of a LeaseResponse: 32 hexadecimal digits")
    if not 0 <= units <= LEASE_UNITS_MAX:
        raise invalid_field("units", f"is {units}; must be 0 to {LEASE_UNITS_MAX}")
