"""The published keys (JWKS) of whoever signs tokens: fetched or read when they change, never once a call."""

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

# Any stranger can send a token with an unknown key id: that alone must not have the keys fetched each time.
FETCH_INTERVAL_S_MIN = 10.0
# For so long known keys hold while their publisher is away. A key it withdraws ends with the next fetch that succeeds.
STALE_S_MAX = 24 * 3600.0
_FETCH_TIMEOUT_S = 5
_log = structlog.get_logger()

Fetch = Callable[[], Mapping[str, jwt.PyJWK]]


def fetcher(url: str) -> Fetch:
    """Fetches the signing keys at `url` by their ids; blocks for at most five seconds. Raises jwt.PyJWTError."""
    client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=_FETCH_TIMEOUT_S)

    def fetch() -> Mapping[str, jwt.PyJWK]:
        try:
            return {str(key.key_id): key for key in client.get_signing_keys()}
        except (OSError, ValueError) as error:
            # A connection that breaks half way, or a page that is not JSON.
            raise jwt.PyJWKClientConnectionError(f"no key set: {type(error).__name__}") from error

    return fetch


class KeySet:
    """Keys by id. A known key is had without waiting, also while new ones are fetched."""

    def __init__(self, fetch: Fetch, *, refresh_s: float, clock: Clock | None = None) -> None:
        """Fetch again when the keys are `refresh_s` old, or when an unknown one is asked for."""
        self._fetch = fetch
        self._refresh_s = refresh_s
        self._clock = clock or SystemClock()
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at_s = self._tried_at_s = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, key_id: str) -> jwt.PyJWK:
        """The public key `key_id`. Raises jwt.InvalidKeyError for none; Unavailable when the keys cannot be had."""
        age_s = self._clock.monotonic() - self._fetched_at_s
        if age_s > STALE_S_MAX:
            self._keys = {}
        known = key_id in self._keys
        if not known or age_s >= self._refresh_s:
            fetching = self._refresh()
            if not known and fetching is not None:
                # Shared by all who wait here, and not ended with one of them.
                await asyncio.shield(fetching)
        if key_id in self._keys:
            return self._keys[key_id]
        if not self._keys:
            raise Unavailable("the key set (JWKS) cannot be fetched", retry_after_s=1)
        raise jwt.InvalidKeyError("no such key in the key set")

    def _refresh(self) -> asyncio.Task[None] | None:
        now_s = self._clock.monotonic()
        # Without any key everybody is refused: then it is worth a try each time the last one has ended.
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
            # The client is synchronous; one thread at a time waits for it.
            keys = await asyncio.to_thread(self._fetch)
        except jwt.PyJWTError as error:
            _log.warning("key set not fetched", problem=str(error), keys_held=len(self._keys))
        else:
            self._keys, self._fetched_at_s = keys, self._clock.monotonic()


class KeyFile:
    """Keys by id in a file, for instance a mounted secret, which changes under a running process."""

    def __init__(self, path: Path) -> None:
        """Read `path` when it is first needed, and when it has changed."""
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._keys: Mapping[str | None, jwt.PyJWK] = {}

    async def key(self, key_id: str) -> jwt.PyJWK:
        """The public key `key_id`. Raises jwt.InvalidKeyError for none; Unavailable when the file cannot be read."""
        try:
            found = self._path.stat()
            seen = (found.st_ino, found.st_mtime_ns, found.st_size)
            if seen != self._seen:
                self._keys, self._seen = _parsed(self._path.read_text(encoding="utf-8")), seen
        except (OSError, ValueError, jwt.PyJWTError) as error:
            raise Unavailable("the key set (JWKS) cannot be read", retry_after_s=1) from error
        if key_id not in self._keys:
            raise jwt.InvalidKeyError("no such key in the key set")
        return self._keys[key_id]


def _parsed(text: str) -> Mapping[str | None, jwt.PyJWK]:
    document = json.loads(text)
    if not isinstance(document, dict):
        raise jwt.PyJWKSetError("not a JSON object")
    return {key.key_id: key for key in jwt.PyJWKSet.from_dict(cast("dict[str, Any]", document)).keys}
