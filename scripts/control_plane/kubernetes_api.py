"""A client of the Kubernetes API for tests: plain JSON objects."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx

Object = dict[str, Any]
_TIMEOUT_S = 60.0
_POLL_S = 0.1


class KubernetesError(Exception):
    """The server refused a request.

    Attributes:
        status: HTTP status code.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class KubernetesApi:
    """Requests to one API server with a client certificate. Methods may be called from several threads."""

    def __init__(self, url: str, folder: Path, user: str = "admin") -> None:
        """Create a client.

        Args:
            url: https:// URL of the API server.
            folder: contains `ca.crt`, `<user>.crt` and `<user>.key`.
            user: names the certificate.
        """
        context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        context.load_cert_chain(folder / f"{user}.crt", folder / f"{user}.key")
        # A connection for each request. With kept ones, a thread that is given an idle connection and has to wait for a
        # core finds it closed, because another thread saw it expire meanwhile (httpcore 1.0.9).
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(base_url=url, verify=context, limits=limits, timeout=_TIMEOUT_S, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, path: str) -> Object:
        """Return the object at `path`, for instance "/api/v1/namespaces/default".

        Raises:
            KubernetesError: It does not exist (404), or cannot be read.
        """
        return self._request("GET", path)

    def find(self, path: str) -> Object | None:
        """Return the object at `path`, or None if it does not exist."""
        try:
            return self.get(path)
        except KubernetesError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def list(self, path: str, selector: str = "") -> Sequence[Object]:
        """Return the objects of the collection at `path` whose labels match `selector`."""
        items: Sequence[Object] = self.get(_with_query(path, {"labelSelector": selector}))["items"]
        return items

    def create(self, path: str, body: Object) -> Object:
        """Create `body` in the collection at `path`.

        Raises:
            KubernetesError: The server refused it; the message is the server's.
        """
        return self._request("POST", path, body)

    def patch(self, path: str, body: Object) -> Object:
        """Apply `body` to the object at `path` as a JSON merge patch."""
        return self._request("PATCH", path, body, "application/merge-patch+json")

    def apply(self, path: str, body: Object, *, dry_run: bool = False) -> Object:
        """Apply `body` to `path` on the server, and return the object as it is stored: validated and defaulted.

        Args:
            path: of the object.
            body: with `apiVersion` and `kind`.
            dry_run: validate and admit, and store nothing.

        Raises:
            KubernetesError: Validation or admission refused it, no schema knows a field, or the server would warn.
        """
        query = {"fieldManager": "hocket-tests", "force": "true", "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        answer = self._client.patch(
            _with_query(path, query),
            content=json.dumps(body),
            headers={"Content-Type": "application/apply-patch+yaml"},
        )
        _check(answer)
        if "Warning" in answer.headers:
            raise KubernetesError(answer.status_code, f"{path}: {answer.headers['Warning']}")
        found: Object = answer.json()
        return found

    def delete(self, path: str) -> None:
        """Delete the object or the collection at `path`; nothing happens if it does not exist."""
        try:
            self._request("DELETE", path)
        except KubernetesError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise

    def watch(self, path: str, resource_version: str) -> Generator[Object]:
        """Yield each event of the collection at `path` after `resource_version`, without end."""
        query = {"watch": "1", "resourceVersion": resource_version}
        with self._client.stream(
            "GET", _with_query(path, query), timeout=httpx.Timeout(_TIMEOUT_S, read=None)
        ) as answer:
            _check(answer)
            for line in answer.iter_lines():
                yield json.loads(line)

    def is_ready(self) -> bool:
        """Return True if the server answers /readyz."""
        try:
            return self._client.get("/readyz").is_success
        except httpx.HTTPError:
            return False

    def _request(self, method: str, path: str, body: Object | None = None, kind: str = "application/json") -> Object:
        content = None if body is None else json.dumps(body)
        answer = self._client.request(method, path, content=content, headers={"Content-Type": kind})
        _check(answer)
        found: Object = answer.json()
        return found


def wait_until(condition: Callable[[], object], what: str, timeout_s: float) -> None:
    """Wait until `condition` holds.

    Args:
        condition: called every 0.1 s.
        what: names the condition in the error.
        timeout_s: limit in seconds; ends a hanging test and is no measure of speed.

    Raises:
        TimeoutError: It does not hold after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(_POLL_S)


def _with_query(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?{httpx.QueryParams({name: value for name, value in query.items() if value})}"


def _check(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    answer.read()
    try:
        message = str(answer.json()["message"])
    except (ValueError, KeyError):
        message = answer.text
    raise KubernetesError(answer.status_code, f"{answer.request.method} {answer.request.url.path}: {message}")
