"""What the router raises to its callers, and how an attempt at a vendor may fail.

ModelFailure            an attempt failed; `kind` says what may be done about it (never crosses the wire)
NoCapableModel          FAILED_PRECONDITION: no model serves what the request needs
TurnNotFound            NOT_FOUND: an outcome was told for a turn that is not known (any more)
AllModelsFailed         UNAVAILABLE: every candidate was tried and failed
BudgetExhausted         RESOURCE_EXHAUSTED: the tenant's money for the day is spent
TooManyAnswers          RESOURCE_EXHAUSTED: the tenant has as many answers running here as it may
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from hocket.chassis.errors import FailedPrecondition, NotFound, ResourceExhausted, Unavailable


class FailureKind(StrEnum):
    """Why an attempt failed. MISSING: the vendor knows no such model. INTERNAL: our own fault, not the model's."""

    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    HURRIED = "hurried"
    CUT = "cut"
    REFUSED = "refused"
    CREDENTIALS = "credentials"
    INVALID = "invalid"
    EMPTY = "empty"
    MISSING = "missing"
    INTERNAL = "internal"


# Sent again to the same model: the vendor said "later", or the network failed; everything else moves on.
RETRIED = frozenset({FailureKind.RATE_LIMITED, FailureKind.OVERLOADED, FailureKind.UNAVAILABLE})
# Says nothing about the model's health: the request, a caller in a hurry, or the router is to blame.
BLAMELESS = frozenset(
    {FailureKind.REFUSED, FailureKind.INVALID, FailureKind.EMPTY, FailureKind.HURRIED, FailureKind.INTERNAL}
)
# The vendor answered, and what it said was about the request.
WELL = frozenset({FailureKind.REFUSED, FailureKind.INVALID, FailureKind.EMPTY})
# The same for whoever asks next.
FOR_ALL = frozenset({FailureKind.CREDENTIALS, FailureKind.MISSING})

# The vendor may have done, and may bill, what was asked.
_UNHEARD = frozenset({FailureKind.TIMEOUT, FailureKind.HURRIED, FailureKind.CUT})
# The model worked and had nothing to say; should nobody else have, that is the answer.
DECLINED = frozenset({FailureKind.REFUSED, FailureKind.EMPTY})


class ModelFailure(Exception):
    """An attempt at a vendor failed. Holds neither a secret nor what a user said."""

    def __init__(
        self, kind: FailureKind, message: str, *, retry_after_s: float | None = None, unheard: bool = False
    ) -> None:
        """`unheard` where the vendor may have done, and may bill, what was asked; of some kinds that is so always."""
        super().__init__(message)
        self.kind = kind
        self.retry_after_s = retry_after_s
        self.unheard = unheard or kind in _UNHEARD


class NoCapableModel(FailedPrecondition):
    """No model of the table serves what the request needs."""

    default_reason = "NO_CAPABLE_MODEL"


class TurnNotFound(NotFound):
    """An outcome was told for a turn that is not known, or not any more."""

    default_reason = "TURN_NOT_FOUND"


class BudgetExhausted(ResourceExhausted):
    """The tenant's money for the day is spent."""

    default_reason = "BUDGET_EXHAUSTED"


class TooManyAnswers(ResourceExhausted):
    """The tenant has as many answers running on this server as it may."""

    default_reason = "OVERLOADED"


class AllModelsFailed(Unavailable):
    """Every candidate failed. `failures` maps a model's alias to how it failed."""

    default_reason = "ALL_MODELS_FAILED"

    def __init__(self, failures: Mapping[str, str], retry_after_s: float | None = None) -> None:
        told = ", ".join(f"{alias}: {kind}" for alias, kind in failures.items()) or "none could be tried"
        super().__init__(f"no model answered ({told}); try again", metadata=dict(failures), retry_after_s=retry_after_s)
