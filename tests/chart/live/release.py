"""One Helm release in one namespace of the test cluster: what tests do to it, and what they see of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import helm_python

from scripts.control_plane.cluster import Cluster
from scripts.control_plane.kubernetes_api import Object, wait_until
from tests.chart.live.pod_watch import PodWatch, is_running

# Ends a hanging test: a roll-out of 50 pods takes 10 s on two idle cores.
TIMEOUT_S = 600
Values = Mapping[str, Any]


class Release:
    """A release of one chart; every method waits until the cluster has done it."""

    def __init__(self, cluster: Cluster, namespace: str, name: str, chart: Path) -> None:
        """Name a release.

        Args:
            cluster: the test cluster.
            namespace: an existing namespace.
            name: of the release.
            chart: folder of the chart, with its dependencies.
        """
        self.cluster = cluster
        self.api = cluster.api
        self.namespace = namespace
        self.name = name
        self._chart = chart

    def install(self, values: Values | None = None) -> Object:
        """Install the chart and wait until every pod that its scaling asks for is ready."""
        summary = self._helm(lambda helm: helm.install(str(self._chart), self.name, _plain(values), timeout=TIMEOUT_S))
        self.wait_ready()
        return summary

    def upgrade(self, values: Values | None = None) -> Object:
        """Upgrade with exactly these values, and wait until the roll-out is complete."""
        summary = self._helm(
            lambda helm: helm.upgrade(str(self._chart), self.name, _plain(values), timeout=TIMEOUT_S, reset_values=True)
        )
        self.wait_ready()
        return summary

    def rollback(self, revision: int) -> None:
        """Roll back to a revision, and wait until the roll-out is complete."""
        self._helm(lambda helm: helm.rollback(self.name, version=revision, timeout=TIMEOUT_S))
        self.wait_ready()

    def uninstall(self) -> None:
        """Uninstall, and wait until no pod is left."""
        self._helm(lambda helm: helm.uninstall(self.name, timeout=TIMEOUT_S, wait="watcher"))
        self.wait(lambda: not self.pods(), "no pod is left")

    def run_tests(self) -> Object:
        """Run `helm test`; raises HelmReleaseError where a test fails."""
        return self._helm(lambda helm: helm.test(self.name, timeout=TIMEOUT_S))

    def status(self) -> str:
        """Return Helm's status of the last revision, for instance "deployed"."""
        return str(self._helm(lambda helm: helm.history(self.name))[-1]["status"])

    # --- what the cluster has -----------------------------------------------------------------------------------

    def list(self, collection: str) -> Sequence[Object]:
        """Return the release's objects, for instance of "apps/v1/deployments" or "v1/pods"."""
        prefix = "/api" if collection.startswith("v1/") else "/apis"
        group, _, plural = collection.rpartition("/")
        path = f"{prefix}/{group}/namespaces/{self.namespace}/{plural}"
        return self.api.list(path, f"app.kubernetes.io/instance={self.name}")

    def only(self, collection: str) -> Object:
        """Return the one object of the release in a collection."""
        (found,) = self.list(collection)
        return found

    def pods(self) -> Sequence[Object]:
        """Return the pods of the release's Deployments; those of Jobs and tests are left out."""
        return [pod for pod in self.list("v1/pods") if self.owns(pod)]

    def running(self) -> Sequence[str]:
        """Return the names of pods that are ready and were not told to end."""
        return [pod["metadata"]["name"] for pod in self.pods() if is_running(pod)]

    def owns(self, pod: Object) -> bool:
        """Return True for a pod of one of the release's Deployments."""
        labels = pod["metadata"].get("labels", {})
        return labels.get("app.kubernetes.io/instance") == self.name and "pod-template-hash" in labels

    def watch_pods(self) -> AbstractContextManager[PodWatch]:
        """Follow the release's pods for a block."""
        return PodWatch.open(self.api, self.namespace, self.owns)

    def patch(self, collection: str, name: str, body: Object) -> Object:
        """Patch one object of the namespace."""
        prefix = "/api" if collection.startswith("v1/") else "/apis"
        group, _, plural = collection.rpartition("/")
        return self.api.patch(f"{prefix}/{group}/namespaces/{self.namespace}/{plural}/{name}", body)

    # --- waits --------------------------------------------------------------------------------------------------

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Wait until `condition` holds."""
        wait_until(condition, f"{self.namespace}/{self.name}: {what}", TIMEOUT_S)

    def wait_running(self, count: int) -> None:
        """Wait until exactly `count` pods run and none is on its way."""
        self.wait(lambda: len(self.running()) == len(self.pods()) == count, f"{count} pods run")

    def wait_ready(self) -> None:
        """Wait until every Deployment has rolled out and has as many pods as its autoscaler's minimum."""
        self.wait(self._is_rolled_out, "rolled out")

    def _is_rolled_out(self) -> bool:
        minima = {
            hpa["spec"]["scaleTargetRef"]["name"]: hpa["spec"]["minReplicas"]
            for hpa in self.list("autoscaling/v2/horizontalpodautoscalers")
        }
        return all(
            _is_rolled_out(deployment, minima.get(deployment["metadata"]["name"], 1))
            for deployment in self.list("apps/v1/deployments")
        )

    def _helm(self, action: Callable[[helm_python.Config], Any]) -> Any:
        with helm_python.Config(kubeconfig_path=self.cluster.kubeconfig, namespace=self.namespace) as config:
            return action(config)


def _is_rolled_out(deployment: Object, minimum: int) -> bool:
    status, wanted = deployment.get("status", {}), deployment["spec"]["replicas"]
    seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    counts = {status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas")}
    return seen and wanted >= minimum and counts == {wanted}


def _plain(values: Values | None) -> dict[str, Any]:
    return dict(values or {})
