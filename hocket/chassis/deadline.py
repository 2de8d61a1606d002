"""Deadline of the running RPC, and the timeouts of outgoing calls within it."""

from __future__ import annotations

import time
from contextvars import ContextVar

from hocket.chassis.errors import DeadlineExceeded

# The server times out this much before its caller does, so that the nearest service reports the timeout
# (letsencrypt/boulder, grpc/interceptors.go, shaves 20 ms).
SHAVE_S = 0.020

_ends_at: ContextVar[float | None] = ContextVar("deadline", default=None)


def bind(seconds: float | None) -> None:
    """Set the deadline of the RPC in this task to `seconds` from now; None for none."""
    _ends_at.set(None if seconds is None else time.monotonic() + seconds)


def remaining() -> float | None:
    """Return the seconds until the deadline of the running RPC; None without one."""
    ends_at = _ends_at.get()
    return None if ends_at is None else ends_at - time.monotonic()


def timeout_for(wanted_s: float) -> float:
    """Return the timeout of an outgoing call: `wanted_s`, shortened to the rest of the running RPC's deadline.

    Raises:
        DeadlineExceeded: The deadline has passed.
    """
    left = remaining()
    if left is None:
        return wanted_s
    if left <= 0:
        raise DeadlineExceeded(f"the caller's deadline passed {-left:.3f} s ago; set a longer one")
    return min(wanted_s, left)
