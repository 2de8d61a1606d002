"""One Kubernetes cluster without machines: a real control plane on loopback, with fake nodes and a metrics API.

Example:
    async with Cluster.start(binaries, Path("/tmp/cluster")) as cluster:
        cluster.metrics.set_total("default", "livekit_active_rooms", 400)
        print(cluster.kubeconfig)
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import yaml

from local.processes.ports import HOST, PortBlock
from local.processes.supervisor import Supervisor
from local.progress import Progress, no_progress
from scripts.control_plane import custom_metrics
from scripts.control_plane.binaries import Binaries
from scripts.control_plane.certificates import Authority
from scripts.control_plane.custom_metrics import CustomMetrics
from scripts.control_plane.kubernetes_api import KubernetesApi, Object, wait_until
from scripts.control_plane.processes import ControlPlaneSpecs, Ports, issue_certificates, write_kubeconfig

ZONES = 3
_METRICS_NAMESPACE = "monitoring"
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
_NODE_RESOURCES = {"cpu": "96", "memory": "384Gi", "pods": "200", "ephemeral-storage": "2Ti"}
_READY_TIMEOUT_S = 300.0
_OWN_CRDS = Path(__file__).parent / "crds"


class Cluster:
    """A running cluster.

    Attributes:
        api: an administrator's client.
        url: https:// URL of the API server.
        ca: file with the certificate of its authority.
        metrics: what custom.metrics.k8s.io serves.
        kubeconfig: of the administrator.
        logs: folder with a log per process.
    """

    def __init__(self, api: KubernetesApi, metrics: CustomMetrics, folder: Path, url: str) -> None:
        """Call `Cluster.start` instead."""
        self.api = api
        self.url = url
        self.ca = folder / "pki" / "ca.crt"
        self.metrics = metrics
        self.kubeconfig = folder / "admin.conf"
        self.logs = folder / "logs"

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        binaries: Binaries,
        folder: Path,
        *,
        nodes: int = 6,
        hpa_sync_s: float = 3,
        progress: Progress = no_progress,
    ) -> AsyncGenerator[Cluster]:
        """Start a cluster, wait until its nodes and its APIs are ready, and stop it on exit.

        Args:
            binaries: the programs.
            folder: keys, data and logs; must exist and be empty.
            nodes: number of nodes, over 3 zones; each has 96 cores and room for 200 pods.
            hpa_sync_s: seconds between two decisions of a HorizontalPodAutoscaler; 15 by default in a real cluster.
            progress: called with one line per process.

        Raises:
            LocalError: A process does not start; all are stopped.
        """
        for name in ("pki", "logs"):
            (folder / name).mkdir()
        with PortBlock.claim() as block:
            ports = Ports.choose(block)
            authority = Authority(folder / "pki")
            issue_certificates(authority)
            for user in ("admin", "controller-manager", "scheduler"):
                write_kubeconfig(authority, user, ports.api_server, folder / f"{user}.conf")
            url = f"https://{HOST}:{ports.api_server}"
            api = KubernetesApi(url, folder / "pki")
            metrics = CustomMetrics()

            async def prepare() -> None:
                await asyncio.to_thread(_create_objects, api, binaries, ports.metrics, nodes)

            specs = ControlPlaneSpecs(binaries, folder, authority, ports).all(hpa_sync_s, prepare)
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(authority.path("metrics.crt"), authority.path("metrics.key"))
            supervisor = Supervisor(specs, folder / "logs", progress=progress)
            async with custom_metrics.serve(metrics, api, HOST, ports.metrics, tls):
                try:
                    await supervisor.start()
                    await asyncio.to_thread(_wait_ready, api, nodes)
                    yield cls(api, metrics, folder, url)
                finally:
                    await supervisor.stop()
                    api.close()


def _create_objects(api: KubernetesApi, binaries: Binaries, metrics_port: int, nodes: int) -> None:
    """Create nodes, custom resource definitions, and what leads readers of metrics to this process."""
    for number in range(nodes):
        api.create("/api/v1/nodes", _node(number))
    for file in (*binaries.crds(), *sorted(_OWN_CRDS.glob("*.yaml"))):
        for definition in yaml.safe_load_all(file.read_text()):
            if definition:
                api.create(_CRDS, definition)
    api.create("/api/v1/namespaces", {"metadata": {"name": _METRICS_NAMESPACE}})
    # An Endpoints object with a loopback address is refused; a name leads there.
    service = {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": metrics_port}]}
    api.create(
        f"/api/v1/namespaces/{_METRICS_NAMESPACE}/services", {"metadata": {"name": "custom-metrics"}, "spec": service}
    )
    for priority, version in enumerate(custom_metrics.VERSIONS, 1):
        api.create(_API_SERVICES, _api_service(version, priority, metrics_port))
    subject = {"kind": "ServiceAccount", "name": "horizontal-pod-autoscaler", "namespace": "kube-system"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    api.create(
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        {"metadata": {"name": "autoscaler-reads-metrics"}, "roleRef": role, "subjects": [subject]},
    )


def _node(number: int) -> Object:
    name = f"node-{number}"
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/zone": f"zone-{number % ZONES}",
    }
    status = {"allocatable": _NODE_RESOURCES, "capacity": _NODE_RESOURCES}
    return {"metadata": {"name": name, "labels": labels}, "status": status}


def _api_service(version: str, priority: int, port: int) -> Object:
    return {
        "metadata": {"name": f"{version}.{custom_metrics.GROUP}"},
        "spec": {
            "group": custom_metrics.GROUP,
            "version": version,
            "groupPriorityMinimum": 100,
            "versionPriority": priority,
            "insecureSkipTLSVerify": True,
            "service": {"namespace": _METRICS_NAMESPACE, "name": "custom-metrics", "port": port},
        },
    }


def _wait_ready(api: KubernetesApi, nodes: int) -> None:
    def all_true(path: str, kind: str, count: int) -> bool:
        found = api.list(path)
        ready = [each for each in found if condition_is_true(each, kind)]
        return len(ready) == len(found) >= count

    wait_until(lambda: all_true("/api/v1/nodes", "Ready", nodes), "all nodes are ready", _READY_TIMEOUT_S)
    wait_until(lambda: all_true(_CRDS, "Established", 1), "custom resources are served", _READY_TIMEOUT_S)
    wait_until(lambda: all_true(_API_SERVICES, "Available", 1), "all APIs are available", _READY_TIMEOUT_S)


def condition_is_true(found: Object, kind: str) -> bool:
    """Return True if the status of an object has the condition `kind` and it is true."""
    conditions = found.get("status", {}).get("conditions", ())
    return any(each["type"] == kind and each["status"] == "True" for each in conditions)
