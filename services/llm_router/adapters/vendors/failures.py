"""Classifies vendor errors: HTTP status, error type and headers to a `ModelFailure`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, cast

import aiohttp
import httpx2

from services.llm_router.errors import FailureKind, ModelFailure

_BY_STATUS = {
    400: FailureKind.INVALID,
    401: FailureKind.CREDENTIALS,
    402: FailureKind.CREDENTIALS,
    403: FailureKind.CREDENTIALS,
    404: FailureKind.UNKNOWN_MODEL,
    408: FailureKind.TIMEOUT,
    413: FailureKind.INVALID,
    422: FailureKind.INVALID,
    429: FailureKind.RATE_LIMITED,
    504: FailureKind.TIMEOUT,
    529: FailureKind.OVERLOADED,
}
# Errors inside a stream have status 200; their type classifies them.
_BY_TYPE = {
    "invalid_request_error": FailureKind.INVALID,
    "authentication_error": FailureKind.CREDENTIALS,
    "permission_error": FailureKind.CREDENTIALS,
    "billing_error": FailureKind.CREDENTIALS,
    "not_found_error": FailureKind.UNKNOWN_MODEL,
    "rate_limit_error": FailureKind.RATE_LIMITED,
    "timeout_error": FailureKind.TIMEOUT,
    "overloaded_error": FailureKind.OVERLOADED,
    "api_error": FailureKind.UNAVAILABLE,
    "RESOURCE_EXHAUSTED": FailureKind.RATE_LIMITED,
    "UNAVAILABLE": FailureKind.OVERLOADED,
    "INVALID_ARGUMENT": FailureKind.INVALID,
    "NOT_FOUND": FailureKind.UNKNOWN_MODEL,
    "DEADLINE_EXCEEDED": FailureKind.TIMEOUT,
}
# What reading an answer of another shape raises, since no SDK checks all of it; pydantic's errors are ValueErrors.
PROTOCOL_ERRORS = (ValueError, TypeError, AttributeError, LookupError, RecursionError)
# A connection that was there and went; aiohttp's transport tells it as one that could not be made.
_LOST = (ConnectionResetError, BrokenPipeError, aiohttp.ServerDisconnectedError)
UNSENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_TYPE = re.compile(r"[A-Za-z_]{1,64}")
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)
# Longer waits are misread or wrong; the breaker's own pause is at most a minute.
RETRY_AFTER_MAX_S = 3600.0


def failure_from_status(
    vendor: str,
    status: int | None,
    *,
    error_type: object = None,
    headers: Mapping[str, str] | None = None,
    now_s: float = 0.0,
    retry_after_s: float | None = None,
) -> ModelFailure:
    """Return the failure of an error response; vendor text is not quoted, since it may repeat the prompt."""
    # Other values may repeat an API key.
    known_type = error_type if isinstance(error_type, str) and _TYPE.fullmatch(error_type) else ""
    kind = _BY_TYPE.get(known_type) or _BY_STATUS.get(status or 0, FailureKind.UNAVAILABLE)
    details = ", ".join(str(x) for x in (status, known_type) if x)
    if retry_after_s is None and headers is not None:
        retry_after_s = retry_after(headers, now_s)
    return ModelFailure(kind, f"{vendor} answered {details or 'an error'}", retry_after_s=retry_after_s)


def connection_failure(vendor: str, error: BaseException, *, started: bool) -> ModelFailure:
    """Return the failure of a connection that was refused, timed out or broke.

    `started`: the answer had begun. Only a request that was never sent is certainly not billed.
    """
    reasons = list(_chain(error))
    lost = any(isinstance(reason, _LOST) for reason in reasons)
    if not lost and any(isinstance(reason, UNSENT) for reason in reasons):
        return ModelFailure(FailureKind.UNAVAILABLE, f"{vendor} could not be reached ({type(error).__name__})")
    if any(isinstance(reason, httpx2.TimeoutException) for reason in reasons):
        return ModelFailure(FailureKind.TIMEOUT, f"{vendor} timed out")
    kind = FailureKind.CUT if started else FailureKind.UNAVAILABLE
    return ModelFailure(kind, f"the connection to {vendor} broke ({type(error).__name__})", may_be_billed=True)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes: SDK, transport, socket."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def retry_after(headers: Mapping[str, str], now_s: float) -> float | None:
    """Return the seconds of `retry-after-ms` or `retry-after` (seconds or date), at most an hour, or None."""
    millis = _number(headers.get("retry-after-ms"))
    if millis is not None:
        return min(millis / 1000, RETRY_AFTER_MAX_S)
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is None and value is not None:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now_s
        except (ValueError, OverflowError):
            return None
    return None if seconds is None else min(max(seconds, 0.0), RETRY_AFTER_MAX_S)


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and _SECONDS.fullmatch(text := text.strip()) else None


def retry_info(details: object) -> float | None:
    """Return the seconds of google.rpc.RetryInfo in an error body, which Google's SDK does not read, or None."""
    for row in _rows(details):
        delay = row.get("retryDelay")
        seconds = _number(delay[:-1]) if isinstance(delay, str) and delay.endswith("s") else None
        if seconds is not None:
            return min(seconds, RETRY_AFTER_MAX_S)
    return None


def rejects_api_key(details: object) -> bool:
    """True when google.rpc.ErrorInfo of an error body reports an invalid key; its status is 400."""
    return any(str(row.get("reason", "")).startswith("API_KEY_") for row in _rows(details))


def _rows(details: object) -> Iterator[dict[str, Any]]:
    """Yield the details of a Google error body; the SDK passes the body, its `error` object, or a list with one."""
    if isinstance(details, list) and details:
        details = cast("list[object]", details)[0]
    if not isinstance(details, dict):
        return
    error = cast("dict[str, Any]", details).get("error", details)
    rows = cast("dict[str, Any]", error).get("details") if isinstance(error, dict) else None
    for row in cast("list[object]", rows) if isinstance(rows, list) else ():
        if isinstance(row, dict):
            yield cast("dict[str, Any]", row)
