"""Causes of failed Redis calls; the texts are those of redis-py and Redis."""

from __future__ import annotations

import pytest
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from hocket.chassis.redis_problem import redis_problem


@pytest.mark.parametrize(
    ("error", "start"),
    [
        (ResponseError("NOAUTH Authentication required."), "redis_url: NOAUTH: "),
        (AuthenticationError("Authentication required."), "redis_url: NOAUTH: "),
        (AuthenticationError("HELLO must be called with the client already authenticated"), "redis_url: NOAUTH: "),
        (AuthenticationError("invalid username-password pair or user is disabled."), "redis_url: WRONGPASS: "),
        (ResponseError("WRONGPASS invalid username-password pair"), "redis_url: WRONGPASS: "),
        (NoPermissionError("this user has no permissions to run the 'eval' command"), "redis_url: NOPERM: "),
        (ResponseError("unknown command 'EVAL'"), "ResponseError: unknown command 'EVAL'"),
        (ConnectionRefusedError(), "ConnectionRefusedError"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_refused_credentials_are_named_with_the_setting(error, start):
    assert redis_problem(error).startswith(start)
