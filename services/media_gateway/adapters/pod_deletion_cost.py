"""Annotation of this pod by which Kubernetes, on a scale-down, deletes pods with few rooms first."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import httpx
import structlog

from services.media_gateway import telemetry

ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
API_URL = "https://kubernetes.default.svc"
_TIMEOUT_S = 5.0
_log = structlog.get_logger()


class PodDeletionCost:
    """Keeps the annotation at the number of rooms. Fail-open: without the Kubernetes API rooms go on."""

    def __init__(
        self,
        pod: str,
        active_rooms: Callable[[], int],
        *,
        interval_s: float = 15,
        api_url: str = API_URL,
        service_account: Path = SERVICE_ACCOUNT,
    ) -> None:
        """Configure the annotation.

        Args:
            pod: Name of this pod.
            active_rooms: Returns the number of rooms that this process serves.
            interval_s: Seconds between two looks at it; only a changed number is written.
            api_url: Base URL of the Kubernetes API.
            service_account: Folder of the mounted token, the CA and the namespace.
        """
        self._pod = pod
        self._active_rooms = active_rooms
        self._interval_s = interval_s
        self._api_url = api_url
        self._folder = service_account

    async def run(self) -> None:
        """Write the annotation at each change, until cancelled."""
        written: int | None = None
        namespace = self._read("namespace")
        async with httpx.AsyncClient(base_url=self._api_url, timeout=_TIMEOUT_S, verify=self._tls()) as client:
            while True:
                rooms = self._active_rooms()
                if rooms != written and await self._write(client, namespace, rooms):
                    written = rooms
                await asyncio.sleep(self._interval_s)

    async def _write(self, client: httpx.AsyncClient, namespace: str, rooms: int) -> bool:
        try:
            response = await client.patch(
                f"/api/v1/namespaces/{namespace}/pods/{self._pod}",
                json={"metadata": {"annotations": {ANNOTATION: str(rooms)}}},
                # The kubelet renews the token, so it is read for each call.
                headers={
                    "authorization": f"Bearer {self._read('token')}",
                    "content-type": "application/merge-patch+json",
                },
            )
            response.raise_for_status()
        except (httpx.HTTPError, OSError) as error:
            telemetry.fail_open.labels("kubernetes").inc()
            _log.warning("pod deletion cost not written", rooms=rooms, problem=str(error) or type(error).__name__)
            return False
        return True

    def _read(self, name: str) -> str:
        return (self._folder / name).read_text(encoding="utf-8").strip()

    def _tls(self) -> ssl.SSLContext | bool:
        ca = self._folder / "ca.crt"
        return ssl.create_default_context(cafile=str(ca)) if ca.exists() else True
