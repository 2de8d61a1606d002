"""The tenant's backend over HTTP: settings, users, tasks, insights."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx

from hocket.chassis.circuit_breaker import CircuitBreaker
from hocket.chassis.clock import Clock, SystemClock
from hocket.chassis.closes_on_exit import ClosesOnExit
from hocket.chassis.errors import MeshError, NotFound, PermissionDenied, Unavailable

_ATTEMPTS_MAX = 3
_BACKOFF_S = 0.1
_FAILURES_MAX = 3
_OPEN_S = 10.0
_BODY_BYTES_MAX = 256 * 1024
_RETRIED_STATUSES = frozenset({429, 502, 503, 504})


class BackendClient(ClosesOnExit):
    """Calls the backend in the name of one tenant. Fail-open: each caller goes on without the backend.

    A call makes at most three attempts. After three failed calls in a row the circuit breaker rejects calls for 10 s.

    Every call raises:
        NotFound: HTTP 404.
        PermissionDenied: HTTP 401 or 403.
        MeshError: Any other HTTP 4xx.
        Unavailable: The backend did not answer, kept failing, answered too much or no JSON, or the circuit breaker is
            open.
    """

    def __init__(
        self,
        url: str,
        token: Callable[[], str],
        *,
        timeout_s: float,
        clock: Clock | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Call one backend.

        Args:
            url: Base URL without a trailing slash.
            token: Returns the bearer token, whose claims name the tenant.
            timeout_s: Timeout of each attempt in seconds; a timeout is not retried.
            clock: Clock of the circuit breaker; the system's by default.
            tls: Certificate authorities for HTTPS. Loading them here would block the event loop for 130 ms.
        """
        self._token = token
        self._clock = clock or SystemClock()
        self._breaker = CircuitBreaker(failures_max=_FAILURES_MAX, open_s=_OPEN_S)
        self._client = httpx.AsyncClient(base_url=url, timeout=timeout_s, verify=tls or True)

    async def get_settings(self) -> dict[str, Any]:
        """Return the tenant's settings for its agent."""
        return await self._call("GET", "/v1/settings")

    async def get_user(self, user_id: str) -> dict[str, Any]:
        """Return the profile of a user."""
        return await self._call("GET", f"/v1/users/{quote(user_id, safe='')}")

    async def create_task(
        self, title: str, due: str, *, room: str, user_id: str, idempotency_key: str
    ) -> dict[str, Any]:
        """Create a task.

        Args:
            title: What is to be done.
            due: When it is due, in the user's words; empty for no date.
            room: Name of the room within the tenant.
            user_id: User for whom the task is created.
            idempotency_key: A repeated key returns the task of the first call.
        """
        task = {"title": title, "room": room, "user_id": user_id, **({"due": due} if due else {})}
        return await self._call("POST", "/v1/tasks", body=task, idempotency_key=idempotency_key)

    async def log_insight(self, text: str, *, room: str, user_id: str, idempotency_key: str) -> dict[str, Any]:
        """Store a fact about a user.

        Args:
            text: The fact in one sentence.
            room: Name of the room within the tenant.
            user_id: User whom the fact is about.
            idempotency_key: A repeated key stores nothing again.
        """
        insight = {"text": text, "room": room, "user_id": user_id}
        return await self._call("POST", "/v1/insights", body=insight, idempotency_key=idempotency_key)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _call(
        self, method: str, path: str, *, body: dict[str, Any] | None = None, idempotency_key: str = ""
    ) -> dict[str, Any]:
        if not self._breaker.allows(self._clock.monotonic()):
            raise Unavailable(f"circuit breaker of the backend is open after {_FAILURES_MAX} failed calls in a row")
        headers = {"Authorization": f"Bearer {self._token()}"}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        try:
            response = await self._request_with_retries(method, path, body, headers)
        except Unavailable:
            self._breaker.record_failure(self._clock.monotonic())
            raise
        self._breaker.record_success()
        return _parse(response)

    async def _request_with_retries(
        self, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str]
    ) -> httpx.Response:
        problem = ""
        for attempt in range(_ATTEMPTS_MAX):
            if attempt:
                await asyncio.sleep(_BACKOFF_S * 2**attempt * random.uniform(0.5, 1))
            try:
                response = await self._client.request(method, path, json=body, headers=headers)
            except httpx.TransportError as error:
                problem = type(error).__name__
                if isinstance(error, httpx.TimeoutException):
                    # The user is waiting for the turn: a second timeout would only double the wait.
                    break
                continue
            if response.status_code not in _RETRIED_STATUSES and response.status_code < 500:
                return response
            problem = f"HTTP {response.status_code}"
        raise Unavailable(f"backend does not answer {method} {path}: {problem}", retry_after_s=1)


def _parse(response: httpx.Response) -> dict[str, Any]:
    match response.status_code:
        case 404:
            raise NotFound("backend answered HTTP 404: it has no such resource")
        case 401 | 403 as status:
            raise PermissionDenied(
                f"backend answered HTTP {status}: it rejects the gateway's token; let it trust the gateway's key"
            )
        case status if status >= 400:
            raise MeshError(f"backend rejects the call: HTTP {status}", reason="INTERNAL")
        case _:
            pass
    size_bytes = len(response.content)
    if size_bytes > _BODY_BYTES_MAX:
        raise Unavailable(
            f"backend's response has {size_bytes} bytes; at most {_BODY_BYTES_MAX} are read", reason="TOO_LARGE"
        )
    try:
        body: Any = response.json()
    except ValueError as error:
        raise Unavailable("backend's response is not JSON") from error
    return body if isinstance(body, dict) else {}  # pyright: ignore[reportUnknownVariableType] - JSON has no type
