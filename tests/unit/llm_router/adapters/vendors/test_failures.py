"""Classification of vendor errors."""

from __future__ import annotations

import aiohttp
import httpx2
import pytest

from services.llm_router.adapters.vendors.failures import (
    RETRY_AFTER_MAX_S,
    connection_failure,
    failure_from_status,
    rejects_api_key,
    retry_after,
    retry_info,
)
from services.llm_router.errors import FailureKind

NOW_S = 1_795_305_600.0  # 2026-11-22 00:00 UTC


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Sun, 22 Nov 2026 00:00:30 GMT"}, 30),
        ({"retry-after": "Sun, 22 Nov 2020 00:00:30 GMT"}, 0),
        ({"retry-after": "1000000000"}, None),
        ({"retry-after": "999999999"}, RETRY_AFTER_MAX_S),
        ({"retry-after": "Sun, 22 Nov 9999 00:00:30 GMT"}, RETRY_AFTER_MAX_S),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "\N{SUPERSCRIPT TWO}"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_at_most_an_hour(headers, seconds):
    assert retry_after(headers, NOW_S) == seconds


def details(**row: str) -> dict[str, object]:
    return {"error": {"code": 429, "details": ["odd", {}, row]}}


def test_retry_info_of_google_is_read_from_the_body():
    assert retry_info(details(retryDelay="2.5s")) == 2.5
    assert retry_info([details(retryDelay="9999s")]) == RETRY_AFTER_MAX_S
    assert retry_info(details(retryDelay="9" * 400 + "s")) is None
    assert retry_info("text") is None


def test_an_invalid_google_key_with_status_400_is_a_credential_error():
    assert rejects_api_key(details(reason="API_KEY_INVALID"))
    assert not rejects_api_key(details(reason="BAD_FIELD"))


def test_an_unknown_error_type_is_not_quoted():
    failure = failure_from_status("anthropic", 401, error_type="bad key sk-ant-SECRET-0123456789")
    assert (failure.kind, str(failure)) == (FailureKind.CREDENTIALS, "anthropic answered 401")
    assert failure_from_status("gemini", 503, error_type={"odd": 1}).kind is FailureKind.UNAVAILABLE
    assert (
        str(failure_from_status("anthropic", 529, error_type="overloaded_error"))
        == "anthropic answered 529, overloaded_error"
    )


def test_a_lost_connection_may_be_billed_for_every_transport_error():
    for lost in (ConnectionResetError(104, "reset by peer"), aiohttp.ServerDisconnectedError()):
        error = httpx2.ConnectError("x")
        error.__cause__ = lost
        assert connection_failure("anthropic", error, started=False).may_be_billed


@pytest.mark.parametrize(
    ("error", "started", "kind", "may_be_billed"),
    [
        (httpx2.ConnectError("x"), False, FailureKind.UNAVAILABLE, False),
        (httpx2.ConnectTimeout("x"), False, FailureKind.UNAVAILABLE, False),
        (httpx2.PoolTimeout("x"), False, FailureKind.UNAVAILABLE, False),
        (httpx2.ReadTimeout("x"), False, FailureKind.TIMEOUT, True),
        # Sent, and then nothing: it may have been done.
        (httpx2.ReadError("x"), False, FailureKind.UNAVAILABLE, True),
        (httpx2.RemoteProtocolError("x"), False, FailureKind.UNAVAILABLE, True),
        (httpx2.RemoteProtocolError("x"), True, FailureKind.CUT, True),
    ],
)
def test_connection_failures_are_classified_by_progress(error, started, kind, may_be_billed):
    wrapped = RuntimeError("of the SDK")
    wrapped.__cause__ = error
    for seen in (error, wrapped):
        failure = connection_failure("anthropic", seen, started=started)
        assert (failure.kind, failure.may_be_billed) == (kind, may_be_billed)
