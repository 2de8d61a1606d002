"""Follow the pods of a release and remember how few of them were running at any moment."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from scripts.control_plane.kubernetes_api import KubernetesApi, Object
from tests.fakes.waiting import DEADLINE_S

Belongs = Callable[[Object], bool]


def is_running(pod: Object) -> bool:
    """Return True if the pod is ready and was not told to end."""
    conditions = pod.get("status", {}).get("conditions", ())
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]


class PodWatch:
    """What was seen until the block ended.

    Attributes:
        before: running pods when the block began.
        fewest: fewest running pods after any event since then.
        most: most running pods after any event since then.
        removed: names of pods that were running and were told to end, in order.
    """

    def __init__(self, api: KubernetesApi, namespace: str, belongs: Belongs) -> None:
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/pods"
        self._belongs = belongs
        self._error: BaseException | None = None
        self._marker = f"watch-end-{secrets.token_hex(4)}"
        listed = api.get(self._path)
        self._version: str = listed["metadata"]["resourceVersion"]
        self._running = {p["metadata"]["name"] for p in listed["items"] if belongs(p) and is_running(p)}
        self.before = self.fewest = self.most = len(self._running)
        self.removed: list[str] = []

    @classmethod
    @contextmanager
    def open(cls, api: KubernetesApi, namespace: str, belongs: Belongs) -> Iterator[PodWatch]:
        """Follow the pods for the block; the result is complete after it."""
        watch = cls(api, namespace, belongs)
        thread = threading.Thread(target=watch._follow, name="pod-watch", daemon=True)
        thread.start()
        try:
            yield watch
        finally:
            # The server sends events in order: what came before the marker has been seen when the marker is.
            api.create(watch._path, _marker_pod(watch._marker))
            thread.join(DEADLINE_S)
            api.delete(f"{watch._path}/{watch._marker}")
        if watch._error:
            raise watch._error
        assert not thread.is_alive(), "the watch did not see its marker"

    def _follow(self) -> None:
        try:
            for event in self._api.watch(self._path, self._version):
                assert event["type"] != "ERROR", event["object"].get("message")
                if event["object"]["metadata"]["name"] == self._marker:
                    return
                if self._belongs(event["object"]):
                    self._observe(event["type"], event["object"])
        except BaseException as error:  # noqa: BLE001 - raised again in the thread of the test
            self._error = error

    def _observe(self, kind: str, pod: Object) -> None:
        name = pod["metadata"]["name"]
        if kind != "DELETED" and is_running(pod):
            self._running.add(name)
        elif name in self._running:
            self._running.remove(name)
            self.removed.append(name)
        self.fewest = min(self.fewest, len(self._running))
        self.most = max(self.most, len(self._running))


def _marker_pod(name: str) -> Object:
    context = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {"name": "none", "image": "none", "securityContext": context}
    # No scheduler has this name, so that the pod never runs.
    return {"metadata": {"name": name}, "spec": {"schedulerName": "none", "containers": [container]}}
