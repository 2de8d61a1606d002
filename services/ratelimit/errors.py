"""What this service raises, with its reasons."""

from __future__ import annotations

from hocket.chassis.errors import NotFound, Unavailable


class LimitNotFound(NotFound):
    """No limit of that name and kind is configured."""

    default_reason = "LIMIT_NOT_FOUND"


class LeaseNotFound(NotFound):
    """The tenant holds no such lease: it ran out or was returned before."""

    default_reason = "LEASE_NOT_FOUND"


class StoreGone(Unavailable):
    """The shared store did not answer in time, or not with sense."""


class LedgerGone(Unavailable):
    """The book cannot be written or read now; events are to be sent again with the same ids."""
