"""What a vendor's refusal means: from HTTP status, error type and headers to a ModelFailure."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, cast

from services.llm_router.errors import FailureKind, ModelFailure

_BY_STATUS = {
    400: FailureKind.INVALID,
    401: FailureKind.CREDENTIALS,
    402: FailureKind.CREDENTIALS,
    403: FailureKind.CREDENTIALS,
    404: FailureKind.UNAVAILABLE,
    408: FailureKind.TIMEOUT,
    413: FailureKind.INVALID,
    422: FailureKind.INVALID,
    429: FailureKind.RATE_LIMITED,
    504: FailureKind.TIMEOUT,
    529: FailureKind.OVERLOADED,
}
# An error inside a stream comes with status 200; its type says what it is.
_BY_TYPE = {
    "invalid_request_error": FailureKind.INVALID,
    "authentication_error": FailureKind.CREDENTIALS,
    "permission_error": FailureKind.CREDENTIALS,
    "billing_error": FailureKind.CREDENTIALS,
    "rate_limit_error": FailureKind.RATE_LIMITED,
    "timeout_error": FailureKind.TIMEOUT,
    "overloaded_error": FailureKind.OVERLOADED,
    "api_error": FailureKind.UNAVAILABLE,
    "RESOURCE_EXHAUSTED": FailureKind.RATE_LIMITED,
    "UNAVAILABLE": FailureKind.OVERLOADED,
    "INVALID_ARGUMENT": FailureKind.INVALID,
    "DEADLINE_EXCEEDED": FailureKind.TIMEOUT,
}


def failure_of(
    vendor: str,
    status: int | None,
    *,
    error_type: str | None = None,
    headers: Mapping[str, str] | None = None,
    now_s: float = 0.0,
    retry_after_s: float | None = None,
) -> ModelFailure:
    """The failure behind a vendor's answer. The vendor's own words are not repeated: they may quote the prompt."""
    kind = _BY_TYPE.get(error_type or "") or _BY_STATUS.get(status or 0, FailureKind.UNAVAILABLE)
    told = ", ".join(str(x) for x in (status, error_type) if x)
    if retry_after_s is None and headers is not None:
        retry_after_s = retry_after(headers, now_s)
    return ModelFailure(kind, f"{vendor} answered {told or 'an error'}", retry_after_s=retry_after_s)


def retry_after(headers: Mapping[str, str], now_s: float) -> float | None:
    """Seconds in `retry-after-ms` or `retry-after` (seconds or a date), or None."""
    millis = headers.get("retry-after-ms")
    if millis is not None and _is_number(millis):
        return max(float(millis) / 1000, 0.0)
    value = headers.get("retry-after")
    if value is None:
        return None
    if _is_number(value):
        return max(float(value), 0.0)
    try:
        return max(parsedate_to_datetime(value).timestamp() - now_s, 0.0)
    except ValueError:
        return None


def _is_number(text: str) -> bool:
    return text.strip().replace(".", "", 1).isdigit()


def retry_info(details: object) -> float | None:
    """Seconds in the google.rpc.RetryInfo of an error body, which Google's SDK does not read, or None."""
    if isinstance(details, list) and details:
        details = cast("list[object]", details)[0]
    if not isinstance(details, dict):
        return None
    error = cast("dict[str, Any]", details).get("error", details)
    rows = cast("dict[str, Any]", error).get("details") if isinstance(error, dict) else None
    for row in cast("list[object]", rows) if isinstance(rows, list) else ():
        delay = cast("dict[str, Any]", row).get("retryDelay") if isinstance(row, dict) else None
        if isinstance(delay, str) and delay.endswith("s") and _is_number(delay[:-1]):
            return float(delay[:-1])
    return None
