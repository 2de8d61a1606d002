"""Public keys (JWKS) of token issuers: fetched or read on change, never once per call."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import jwt
import structlog

from hocket.chassis.clock import Clock, SystemClock
from hocket.chassis.errors import Unavailable

# Anyone can send tokens with unknown key ids: they must not cause a fetch each.
FETCH_INTERVAL_S_MIN = 10.0
# Known keys stay valid this long while the issuer is unreachable. A withdrawn key ends with the next successful fetch.
STALE_S_MAX = 24 * 3600.0
FETCH_TIMEOUT_S = 5.0
KEY_SET_BYTES_MAX = 1 << 20
# urllib's without redirects: the keys come from the address that the operator has set, and from no other one.
_HANDLERS = (
    urllib.request.ProxyHandler,
    urllib.request.UnknownHandler,
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPErrorProcessor,
)
_log = structlog.get_logger()

Fetch = Callable[[], Mapping[str, jwt.PyJWK]]


def fetcher(url: str) -> Fetch:
    """Return a function that fetches the keys at `url` by id; it blocks for some 5 s at most, raises PyJWTError."""
    opener = urllib.request.OpenerDirector()
    for handler in _HANDLERS:
        opener.add_handler(handler())

    def fetch() -> Mapping[str, jwt.PyJWK]:
        until_s = time.monotonic() + FETCH_TIMEOUT_S
        try:
            with opener.open(url, timeout=FETCH_TIMEOUT_S) as response:
                keys = _parsed(_read(response, until_s))
        except urllib.error.HTTPError as error:
            error.close()
            raise jwt.PyJWKClientConnectionError(f"no key set: HTTP status {error.code}") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            # A broken connection, or a response that is not JSON.
            raise jwt.PyJWKClientConnectionError(f"no key set: {type(error).__name__}: {error}") from error
        return {str(key_id): key for key_id, key in keys.items() if key_id and key.public_key_use in {"sig", None}}

    return fetch


def _read(response: http.client.HTTPResponse, until_s: float) -> str:
    """Return the body. The timeout of a socket starts again with each byte: time and size are bounded as a whole."""
    body = bytearray()
    while chunk := response.read1(KEY_SET_BYTES_MAX):
        body += chunk
        if len(body) > KEY_SET_BYTES_MAX:
            raise ValueError(f"more than {KEY_SET_BYTES_MAX} bytes")
        if time.monotonic() > until_s:
            raise TimeoutError(f"not complete within {FETCH_TIMEOUT_S} s")
    return body.decode()


class KeySet:
    """Keys by id. A known key is returned without waiting, also during a fetch."""

    def __init__(self, fetch: Fetch, *, refresh_s: float, clock: Clock | None = None) -> None:
        """Fetch again once the keys are `refresh_s` seconds old, and for an unknown key id."""
        self._fetch = fetch
        self._refresh_s = refresh_s
        self._clock = clock or SystemClock()
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at_s = self._tried_at_s = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, key_id: str) -> jwt.PyJWK:
        """Return the key `key_id`. Raises jwt.InvalidKeyError if unknown, Unavailable without any key."""
        age_s = self._clock.monotonic() - self._fetched_at_s
        if age_s > STALE_S_MAX:
            self._keys = {}
        known = key_id in self._keys
        if not known or age_s >= self._refresh_s:
            fetching = self._refresh()
            if not known and fetching is not None:
                # All waiting calls share the fetch; the cancellation of one must not end it.
                await asyncio.shield(fetching)
        if key_id in self._keys:
            return self._keys[key_id]
        if not self._keys:
            raise Unavailable("the key set (JWKS) cannot be fetched; retry", retry_after_s=1)
        raise jwt.InvalidKeyError("no such key in the key set")

    def _refresh(self) -> asyncio.Task[None] | None:
        now_s = self._clock.monotonic()
        # Without any key every call is refused: retry as soon as the last fetch has ended.
        due = not self._keys or now_s - self._tried_at_s >= FETCH_INTERVAL_S_MIN
        if self._fetching is None and due:
            self._tried_at_s = now_s
            self._fetching = asyncio.create_task(self._fetch_now(), name="fetch keys")
            self._fetching.add_done_callback(self._fetched)
        return self._fetching

    def _fetched(self, _: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _fetch_now(self) -> None:
        try:
            # The client is synchronous; one thread at a time runs it.
            keys = await asyncio.to_thread(self._fetch)
        except jwt.PyJWTError as error:
            _log.warning("key set not fetched", problem=str(error), keys_held=len(self._keys))
        else:
            self._keys, self._fetched_at_s = keys, self._clock.monotonic()


class KeyFile:
    """Keys by id in a file, for instance a mounted secret that rotates while the process runs."""

    def __init__(self, path: Path) -> None:
        """Read `path` on first use and on change."""
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._keys: Mapping[str | None, jwt.PyJWK] = {}
        self._problem = ""

    async def key(self, key_id: str) -> jwt.PyJWK:
        """Return the key `key_id`. Raises jwt.InvalidKeyError if unknown, Unavailable without any key."""
        self._refresh()
        if key_id in self._keys:
            return self._keys[key_id]
        if not self._keys:
            raise Unavailable(f"the key set (JWKS) {self._path} has no key or cannot be read; retry", retry_after_s=1)
        raise jwt.InvalidKeyError("no such key in the key set")

    def _refresh(self) -> None:
        try:
            found = self._path.stat()
            seen = (found.st_ino, found.st_mtime_ns, found.st_size)
            if seen != self._seen:
                self._keys, self._seen = _parsed(self._path.read_text(encoding="utf-8")), seen
        except (OSError, ValueError, jwt.PyJWTError) as error:
            # The file is being written: the keys of before stay valid, so that no call fails meanwhile.
            problem = f"{type(error).__name__}: {error}"
            if problem != self._problem:
                _log.warning("key set not read", file=str(self._path), problem=problem, keys_held=len(self._keys))
            self._problem = problem
        else:
            self._problem = ""


def key_ids(text: str) -> list[str | None]:
    """Return the ids of the keys in a JWKS. Raises ValueError or jwt.PyJWTError if it is none."""
    return list(_parsed(text))


def _parsed(text: str) -> Mapping[str | None, jwt.PyJWK]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise jwt.PyJWKSetError("not a JSON object")
    document = cast("dict[str, Any]", found)
    if document.get("keys") == []:
        # All keys are withdrawn.
        return {}
    return {key.key_id: key for key in jwt.PyJWKSet.from_dict(document).keys}
