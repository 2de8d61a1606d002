"""The exceptions of the mesh. They cross the wire as they are (hocket.chassis.status) and import nothing.

MeshError
├── InvalidArgument(fields)     the request is wrong; BadRequest names the fields
├── Unauthenticated             who calls is not known
├── PermissionDenied            the caller is known and may not
├── NotFound                    no such thing in this tenant
├── FailedPrecondition          right request, wrong state; do not retry as it is
├── ResourceExhausted(retry)    a limit is spent; RetryInfo says when to come back
├── DeadlineExceeded            no time left
├── Unavailable(retry)          try again, here or at another replica
├── Unimplemented               a part of the contract that is not served
└── Internal                    a defect
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class MeshError(Exception):
    """An error with a gRPC code (by class), a reason (hocket.errors.v1.Reason without prefix) and a sentence.

    The message says what is wrong and what to do; it never holds a secret or what a user said.
    """

    code: ClassVar[str] = "UNKNOWN"
    default_reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        """Raise with a sentence; `metadata` keys hold their unit, `retry_after_s` is in seconds, 0 or more."""
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata = dict(metadata or {})
        self.retry_after_s = retry_after_s


class InvalidArgument(MeshError):
    """The request is wrong. `fields` maps a field's path to what is wrong with it."""

    code = "INVALID_ARGUMENT"
    default_reason = "INVALID_FIELD"

    def __init__(
        self,
        message: str,
        *,
        fields: Mapping[str, str] | None = None,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Raise with a sentence and the fields that are wrong."""
        super().__init__(message, reason=reason, metadata=metadata)
        self.fields = dict(fields or {})


def invalid_field(field: str, problem: str) -> InvalidArgument:
    """An InvalidArgument for one field: `invalid_field("spends[0].cost", "must be 1 or more")`."""
    return InvalidArgument(f"{field}: {problem}", fields={field: problem})


class Unauthenticated(MeshError):
    """Who calls is not known."""

    code = "UNAUTHENTICATED"
    default_reason = "TOKEN_INVALID"


class PermissionDenied(MeshError):
    """The caller is known and may not."""

    code = "PERMISSION_DENIED"
    default_reason = "TENANT_MISMATCH"


class NotFound(MeshError):
    """No such thing in this tenant."""

    code = "NOT_FOUND"
    default_reason = "DOCUMENT_NOT_FOUND"


class FailedPrecondition(MeshError):
    """The request is right and the state is not; sending it again changes nothing."""

    code = "FAILED_PRECONDITION"
    default_reason = "NO_CAPABLE_MODEL"


class ResourceExhausted(MeshError):
    """A limit is spent."""

    code = "RESOURCE_EXHAUSTED"
    default_reason = "RATE_LIMITED"


class DeadlineExceeded(MeshError):
    """No time left."""

    code = "DEADLINE_EXCEEDED"
    default_reason = "DEADLINE_EXCEEDED"


class Unavailable(MeshError):
    """Try again, here or at another replica."""

    code = "UNAVAILABLE"
    default_reason = "DEPENDENCY_UNAVAILABLE"


class Unimplemented(MeshError):
    """A part of the contract that this version does not serve."""

    code = "UNIMPLEMENTED"
    default_reason = "NOT_BUILT"


class Internal(MeshError):
    """A defect of the service."""

    code = "INTERNAL"
    default_reason = "INTERNAL"
