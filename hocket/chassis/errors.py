"""Exceptions of the mesh, one class per gRPC code; `hocket.chassis.status` converts them to google.rpc.Status and back.

The module imports nothing, so that decision modules may raise these errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class MeshError(Exception):
    """Base of all errors: a gRPC code (by class), a reason and a message.

    Attributes:
        message: What is wrong, with the value or limit, and the remedy; never a secret or what a user said.
        reason: Value of `hocket.errors.v1.Reason` without its prefix.
        metadata: Details by camelCase keys that name their unit.
        retry_after_s: Earliest retry in seconds, 0 or more; None where no time is known.
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
        """Set the attributes; `reason` defaults to the class's `default_reason`."""
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata = dict(metadata or {})
        self.retry_after_s = retry_after_s


class InvalidArgument(MeshError):
    """The request is wrong. `fields` maps the path of each wrong field to the problem."""

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
        """Set the attributes of MeshError, and `fields`."""
        super().__init__(message, reason=reason, metadata=metadata)
        self.fields = dict(fields or {})


def invalid_field(field: str, problem: str) -> InvalidArgument:
    """Return an InvalidArgument for one field: `invalid_field("spends[0].cost", "is 0; send 1 or more")`."""
    return InvalidArgument(f"{field}: {problem}", fields={field: problem})


class Unauthenticated(MeshError):
    """The bearer token is missing, invalid or expired."""

    code = "UNAUTHENTICATED"
    default_reason = "TOKEN_INVALID"


class PermissionDenied(MeshError):
    """The token is valid but does not permit the call."""

    code = "PERMISSION_DENIED"
    default_reason = "TENANT_MISMATCH"


class NotFound(MeshError):
    """The tenant has nothing of this name."""

    code = "NOT_FOUND"
    default_reason = "DOCUMENT_NOT_FOUND"


class FailedPrecondition(MeshError):
    """The request is valid but the state or configuration is not; a retry fails again."""

    code = "FAILED_PRECONDITION"
    default_reason = "NO_CAPABLE_MODEL"


class ResourceExhausted(MeshError):
    """A limit is spent or a server is full; retry after `retry_after_s`."""

    code = "RESOURCE_EXHAUSTED"
    default_reason = "RATE_LIMITED"


class DeadlineExceeded(MeshError):
    """The deadline passed."""

    code = "DEADLINE_EXCEEDED"
    default_reason = "DEADLINE_EXCEEDED"


class Unavailable(MeshError):
    """The server or a dependency does not answer; retry, here or on another replica."""

    code = "UNAVAILABLE"
    default_reason = "DEPENDENCY_UNAVAILABLE"


class Unimplemented(MeshError):
    """The server does not implement the RPC, or this part of it."""

    code = "UNIMPLEMENTED"
    default_reason = "NOT_BUILT"


class Internal(MeshError):
    """The service has a defect; its log holds the exception."""

    code = "INTERNAL"
    default_reason = "INTERNAL"
