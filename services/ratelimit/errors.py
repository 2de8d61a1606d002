"""Errors of the ratelimit service."""

from __future__ import annotations

from hocket.chassis.errors import NotFound, Unavailable


class LimitNotFound(NotFound):
    """No limit of that name and kind is configured."""

    default_reason = "LIMIT_NOT_FOUND"


class LeaseNotFound(NotFound):
    """The tenant has no such lease: it has expired or was returned before."""

    default_reason = "LEASE_NOT_FOUND"


class StoreUnavailable(Unavailable):
    """The shared limit store did not answer within its timeout, or answered with an error."""


class LedgerUnavailable(Unavailable):
    """The ledger cannot be read or written now; the caller retries with the same event ids."""
