"""Converts MeshError to google.rpc.Status and back: an error has the same class in server and client."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import grpc
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from hocket.chassis import errors

# A google.protobuf.Duration overflows beyond 10,000 years, and the overflow would replace the error.
RETRY_AFTER_MAX_S = 366 * 86_400.0
DETAILS_KEY = "grpc-status-details-bin"
# gRPC names the side that measured: an oversized response ("SERVER: Sent", "CLIENT: Received") is no caller's error.
_REQUEST_TOO_LARGE = re.compile("(CLIENT: Sent|SERVER: Received) message larger than max")
_KINDS: dict[str, type[errors.MeshError]] = {
    kind.code: kind
    for kind in (
        errors.InvalidArgument,
        errors.Unauthenticated,
        errors.PermissionDenied,
        errors.NotFound,
        errors.FailedPrecondition,
        errors.ResourceExhausted,
        errors.DeadlineExceeded,
        errors.Unavailable,
        errors.Unimplemented,
        errors.Internal,
    )
}


def to_status(error: errors.MeshError, domain: str) -> status_pb2.Status:
    """Return the wire form of `error`: code, message, ErrorInfo with `domain`, and RetryInfo or BadRequest."""
    code = grpc.StatusCode[error.code]
    status = status_pb2.Status(code=code.value[0], message=error.message)
    _pack(status, error_details_pb2.ErrorInfo(reason=error.reason, domain=domain, metadata=error.metadata))
    if error.retry_after_s is not None:
        delay = Duration()
        delay.FromNanoseconds(int(min(max(0.0, error.retry_after_s), RETRY_AFTER_MAX_S) * 1e9))
        _pack(status, error_details_pb2.RetryInfo(retry_delay=delay))
    if isinstance(error, errors.InvalidArgument) and error.fields:
        violation = error_details_pb2.BadRequest.FieldViolation
        violations = [violation(field=f, description=d) for f, d in error.fields.items()]
        _pack(status, error_details_pb2.BadRequest(field_violations=violations))
    return status


def _pack(
    status: status_pb2.Status,
    detail: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo | error_details_pb2.BadRequest,
) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)


def from_status(code: grpc.StatusCode, message: str, details: bytes | None) -> errors.MeshError:
    """Return the error of a failed call; `details` is its serialized google.rpc.Status, None if gRPC itself failed."""
    reason: str | None = None
    metadata: dict[str, str] = {}
    retry_after_s: float | None = None
    fields: dict[str, str] = {}
    for packed in status_pb2.Status.FromString(details).details if details else ():
        info, retry, bad = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), error_details_pb2.BadRequest()
        if packed.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif packed.Unpack(retry):
            retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9
        elif packed.Unpack(bad):
            fields = {v.field: v.description for v in bad.field_violations}
    if details is None and code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        # Services always send details. Without them gRPC itself refused: an oversized request, or a full server.
        if _REQUEST_TOO_LARGE.search(message):
            return errors.InvalidArgument(
                message, fields={"message": "exceeds the largest message; split the request"}, reason="TOO_LARGE"
            )
        reason = "OVERLOADED"
    kind = _KINDS.get(code.name, errors.MeshError)
    if issubclass(kind, errors.InvalidArgument):
        return kind(message, fields=fields, reason=reason, metadata=metadata)
    return kind(message, reason=reason, metadata=metadata, retry_after_s=retry_after_s)


def _details(metadata: Sequence[tuple[str, str | bytes]] | grpc.aio.Metadata | None) -> bytes | None:
    for key, value in metadata or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            return value
    return None


@contextmanager
def mesh_errors() -> Generator[None, None, None]:
    """Convert a failed RPC inside the block to the MeshError that its server raised."""
    try:
        yield
    except grpc.aio.AioRpcError as failure:
        details = _details(failure.trailing_metadata())
        raise from_status(failure.code(), failure.details() or failure.code().name, details) from failure
