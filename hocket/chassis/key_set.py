"""Public keys (JWKS) of token issuers: fetched or read on change, never once per call."""

from __future__ import annotations

import asyncio
import json
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
_FETCH_TIMEOUT_S = 5
_log = structlog.get_logger()

Fetch = Callable[[], Mapping[str, jwt.PyJWK]]


def fetcher(url: str) -> Fetch:
    """Return a function that fetches the keys at `url` by id; it blocks at most 5 s and raises jwt.PyJWTError."""
    client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=_FETCH_TIMEOUT_S)

    def fetch() -> Mapping[str, jwt.PyJWK]:
        try:
            return {str(key.key_id): key for key in client.get_signing_keys()}
        except (OSError, ValueError) as error:
            # A broken connection, or a response that is not JSON.
            raise jwt.PyJWKClientConnectionError(f"no key set: {type(error).__name__}") from error

    return fetch


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

    async def key(self, key_id: str) -> jwt.PyJWK:
        """Return the key `key_id`. Raises jwt.InvalidKeyError if unknown, Unavailable if the file is unreadable."""
        try:
            found = self._path.stat()
            seen = (found.st_ino, found.st_mtime_ns, found.st_size)
            if seen != self._seen:
                self._keys, self._seen = _parsed(self._path.read_text(encoding="utf-8")), seen
        except (OSError, ValueError, jwt.PyJWTError) as error:
            raise Unavailable(f"the key set (JWKS) {self._path} cannot be read; retry", retry_after_s=1) from error
        if key_id not in self._keys:
            raise jwt.InvalidKeyError("no such key in the key set")
        return self._keys[key_id]


def key_ids(text: str) -> list[str | None]:
    """Return the ids of the keys in a JWKS. Raises ValueError or jwt.PyJWTError if it is none."""
    return list(_parsed(text))


def _parsed(text: str) -> Mapping[str | None, jwt.PyJWK]:
    document = json.loads(text)
    if not isinstance(document, dict):
        raise jwt.PyJWKSetError("not a JSON object")
    return {key.key_id: key for key in jwt.PyJWKSet.from_dict(cast("dict[str, Any]", document)).keys}
