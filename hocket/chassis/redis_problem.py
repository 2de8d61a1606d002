"""The cause of a failed Redis call, in words that lead to the setting."""

from __future__ import annotations

from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

_FIX = {
    "NOAUTH": "NOAUTH: Redis requires a password; write it into the setting: redis://:password@host:6379/0",
    "WRONGPASS": "WRONGPASS: Redis refuses the user or the password of the setting; correct it",
    "NOPERM": "NOPERM: the user of the setting lacks a permission; grant it by ACL SETUSER",
}


def redis_problem(error: BaseException, setting: str = "redis_url") -> str:
    """Return why a call failed and, where the URL of Redis is at fault, which setting to change.

    Args:
        error: Exception of redis-py or of the connection.
        setting: Name of the setting with the URL.
    """
    # redis-py strips the code of most answers: what remains is Redis' text.
    text = f"{error} {error.__cause__ or ''}"
    if isinstance(error, NoPermissionError):
        return f"{setting}: {_FIX['NOPERM']}"
    if any(sign in text for sign in ("NOAUTH", "Authentication required", "client already authenticated")):
        return f"{setting}: {_FIX['NOAUTH']}"
    if isinstance(error, AuthenticationError) or "WRONGPASS" in text or "invalid username-password" in text:
        return f"{setting}: {_FIX['WRONGPASS']}"
    if isinstance(error, ResponseError):
        return f"{type(error).__name__}: {error}"[:200]
    return type(error).__name__
