"""Errors that the router raises to its callers, and the failure of one attempt at a model.

| exception         | gRPC status         | condition                                                     |
|-------------------|---------------------|---------------------------------------------------------------|
| `ModelFailure`    | never on the wire   | one attempt at a model failed; `kind` decides what follows     |
| `NoCapableModel`  | FAILED_PRECONDITION | no model of the table can serve the request                    |
| `TurnNotFound`    | NOT_FOUND           | an outcome names a turn that is unknown or older than an hour  |
| `AllModelsFailed` | UNAVAILABLE         | every candidate was tried and failed                           |
| `BudgetExhausted` | RESOURCE_EXHAUSTED  | the tenant's budget of the day is spent                        |
| `TooManyAnswers`  | RESOURCE_EXHAUSTED  | the tenant's concurrency slots on this server are all taken    |
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from hocket.chassis.errors import FailedPrecondition, NotFound, ResourceExhausted, Unavailable


class FailureKind(StrEnum):
    """Why an attempt failed.

    UNKNOWN_MODEL: the vendor has no model of this name. CALLER_DEADLINE: the caller's time was too short for this
    model. INTERNAL: an error of the router itself.
    """

    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    CALLER_DEADLINE = "caller_deadline"
    CUT = "cut"
    REFUSED = "refused"
    CREDENTIALS = "credentials"
    INVALID = "invalid"
    EMPTY = "empty"
    UNKNOWN_MODEL = "missing"
    INTERNAL = "internal"


# Transient: the same model may be tried again after a wait. All other kinds go to the next candidate at once.
RETRYABLE = frozenset({FailureKind.RATE_LIMITED, FailureKind.OVERLOADED, FailureKind.UNAVAILABLE})
# Not counted by the circuit breaker: the request, the caller's deadline or the router caused them.
NOT_MODEL_FAULT = frozenset(
    {FailureKind.REFUSED, FailureKind.INVALID, FailureKind.EMPTY, FailureKind.CALLER_DEADLINE, FailureKind.INTERNAL}
)
# The vendor answered, so a half-open probe that ends in one of these closes the breaker.
REQUEST_FAULT = frozenset({FailureKind.REFUSED, FailureKind.INVALID, FailureKind.EMPTY})
# Every request would fail the same way: the breaker opens at the first failure.
PERMANENT = frozenset({FailureKind.CREDENTIALS, FailureKind.UNKNOWN_MODEL})

# The vendor may have processed the request, and may bill it.
_MAY_BE_BILLED = frozenset({FailureKind.TIMEOUT, FailureKind.CALLER_DEADLINE, FailureKind.CUT})
# The model answered without output. When no candidate gives output, the caller gets this end instead of an error.
DECLINED = frozenset({FailureKind.REFUSED, FailureKind.EMPTY})


class ModelFailure(Exception):
    """An attempt at a model failed. The message contains no secret and no user content."""

    def __init__(
        self, kind: FailureKind, message: str, *, retry_after_s: float | None = None, may_be_billed: bool = False
    ) -> None:
        """Describe the failure.

        Args:
            kind: Decides on retry, fallback and breaker.
            message: For logs; must not quote vendor text, which may repeat the prompt.
            retry_after_s: Wait in seconds that the vendor asked for; None when it named none.
            may_be_billed: True when the vendor may have processed the request. Implied by timeouts and cut streams.
        """
        super().__init__(message)
        self.kind = kind
        self.retry_after_s = retry_after_s
        self.may_be_billed = may_be_billed or kind in _MAY_BE_BILLED


class NoCapableModel(FailedPrecondition):
    """No model of the table can serve the request."""

    default_reason = "NO_CAPABLE_MODEL"


class TurnNotFound(NotFound):
    """An outcome names a turn that is unknown or older than an hour."""

    default_reason = "TURN_NOT_FOUND"


class BudgetExhausted(ResourceExhausted):
    """The tenant's budget of the day is spent."""

    default_reason = "BUDGET_EXHAUSTED"


class TooManyAnswers(ResourceExhausted):
    """The tenant's concurrency slots on this server are all taken."""

    default_reason = "OVERLOADED"


class AllModelsFailed(Unavailable):
    """Every candidate failed. The metadata maps the alias of each model to its failure kind."""

    default_reason = "ALL_MODELS_FAILED"

    def __init__(self, failures: Mapping[str, str], retry_after_s: float | None = None) -> None:
        kinds = ", ".join(f"{alias}: {kind}" for alias, kind in failures.items()) or "no candidate available"
        super().__init__(f"no model answered ({kinds}); retry", metadata=dict(failures), retry_after_s=retry_after_s)
