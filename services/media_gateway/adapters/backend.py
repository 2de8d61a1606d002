"""The tenant's backend over HTTP: settings, people, tasks, insights. Called with a token that names the tenant."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx
import structlog

from hocket.chassis.circuit_breaker import CircuitBreaker
from hocket.chassis.clock import Clock, SystemClock
from hocket.chassis.errors import MeshError, NotFound, PermissionDenied, Unavailable

_TRIES = 3
_BACKOFF_S = 0.1
_FAILURES_MAX = 3
_OPEN_S = 10.0
_BODY_BYTES_MAX = 256 * 1024
_RETRIED = frozenset({429, 502, 503, 504})
_log = structlog.get_logger()


class BackendClient:
    """Calls one tenant's backend. Each failure leaves as a MeshError; nothing waits longer than its timeout."""

    def __init__(
        self,
        url: str,
        token: Callable[[], str],
        *,
        timeout_s: float,
        clock: Clock | None = None,
        authorities: ssl.SSLContext | None = None,
    ) -> None:
        """Call `url`; `timeout_s` bounds each try, and a call tries thrice at most.

        `authorities` made beforehand spare the event loop 130 ms here.
        """
        self._token = token
        self._clock = clock or SystemClock()
        self._breaker = CircuitBreaker(failures_max=_FAILURES_MAX, open_s=_OPEN_S)
        self._client = httpx.AsyncClient(base_url=url, timeout=timeout_s, verify=authorities or True)

    async def settings(self) -> dict[str, Any]:
        """What the tenant wants of its agent."""
        return await self._call("GET", "/v1/settings")

    async def user(self, user_id: str) -> dict[str, Any]:
        """Who a person is. Raises NotFound."""
        return await self._call("GET", f"/v1/users/{quote(user_id, safe='')}")

    async def create_task(
        self, title: str, due: str, *, room: str, user_id: str, idempotency_key: str
    ) -> dict[str, Any]:
        """Write down a task; again under the same key gives the same task."""
        task = {"title": title, "room": room, "user_id": user_id, **({"due": due} if due else {})}
        return await self._call("POST", "/v1/tasks", body=task, idempotency_key=idempotency_key)

    async def log_insight(self, text: str, *, room: str, user_id: str, idempotency_key: str) -> dict[str, Any]:
        """Keep a fact; again under the same key keeps it once."""
        insight = {"text": text, "room": room, "user_id": user_id}
        return await self._call("POST", "/v1/insights", body=insight, idempotency_key=idempotency_key)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        """Use as `async with`."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    async def _call(
        self, method: str, path: str, *, body: dict[str, Any] | None = None, idempotency_key: str = ""
    ) -> dict[str, Any]:
        if not self._breaker.allows(self._clock.monotonic()):
            raise Unavailable("the backend has failed lately and is left alone for some seconds")
        headers = {"Authorization": f"Bearer {self._token()}"}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        try:
            response = await self._try(method, path, body, headers)
        except Unavailable:
            self._breaker.record_failure(self._clock.monotonic())
            raise
        self._breaker.record_success()
        return _read(response)

    async def _try(
        self, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str]
    ) -> httpx.Response:
        problem = ""
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(_BACKOFF_S * 2**attempt * random.uniform(0.5, 1))
            try:
                response = await self._client.request(method, path, json=body, headers=headers)
            except httpx.TransportError as error:
                problem = type(error).__name__
                if isinstance(error, httpx.TimeoutException):
                    # A turn is waiting: a backend that is slow once is not asked to be slow thrice.
                    break
                continue
            if response.status_code not in _RETRIED and response.status_code < 500:
                return response
            problem = f"HTTP {response.status_code}"
        raise Unavailable(f"the backend does not answer: {problem}", retry_after_s=1)


def _read(response: httpx.Response) -> dict[str, Any]:
    match response.status_code:
        case 404:
            raise NotFound("the backend knows no such thing")
        case 401 | 403:
            raise PermissionDenied("the backend refuses the service's token")
        case status if status >= 400:
            raise MeshError(f"the backend refuses the call: HTTP {status}", reason="INTERNAL")
        case _:
            pass
    if len(response.content) > _BODY_BYTES_MAX:
        raise Unavailable("the backend's answer is too large", reason="TOO_LARGE")
    try:
        body: Any = response.json()
    except ValueError as error:
        raise Unavailable("the backend's answer is not JSON") from error
    return body if isinstance(body, dict) else {}  # pyright: ignore[reportUnknownVariableType] - JSON has no type
