"""The processes of one control plane, all on loopback, and what each must be told."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from local.processes.ports import HOST, PortBlock
from local.processes.process_spec import ProcessSpec
from scripts.control_plane.binaries import Binaries
from scripts.control_plane.certificates import Authority

SERVICE_RANGE = "10.97.0.0/16"
_SERVER_ADDRESS = "10.97.0.1"  # of the Service `kubernetes`, the first of the range
_POD_RANGE = "10.98.0.1/16"
_NODE_ADDRESS = "10.99.0.1"
_LEASE_S = 40
# kube-apiserver waits for its open watches before it ends.
_STOP_GRACE_S = 30.0
_STAGES = Path(__file__).parent / "stages.yaml"


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports of one control plane."""

    etcd: int
    etcd_peer: int
    api_server: int
    controller_manager: int
    scheduler: int
    kwok: int
    metrics: int

    @classmethod
    def choose(cls, block: PortBlock) -> Ports:
        """Return free ports of `block`."""
        return cls(*(block.next() for _ in range(7)))


def issue_certificates(authority: Authority) -> None:
    """Write the certificates that the processes and their clients use."""
    names = (HOST, "localhost", "kubernetes.default.svc", _SERVER_ADDRESS)
    authority.issue("api-server", "kube-apiserver", hosts=names)
    authority.issue("metrics", "metrics", hosts=(HOST, "localhost"))
    authority.issue("admin", "admin", groups=("system:masters",))
    authority.issue("controller-manager", "system:kube-controller-manager")
    authority.issue("scheduler", "system:kube-scheduler")
    authority.issue("front-proxy", "front-proxy")
    authority.issue_signing_key("service-account")


def write_kubeconfig(authority: Authority, user: str, port: int, file: Path) -> None:
    """Write a kubeconfig for the certificate `<user>.crt`."""
    cluster = {"server": f"https://{HOST}:{port}", "certificate-authority": str(authority.path("ca.crt"))}
    certificate = {
        "client-certificate": str(authority.path(f"{user}.crt")),
        "client-key": str(authority.path(f"{user}.key")),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "control-plane",
        "clusters": [{"name": "control-plane", "cluster": cluster}],
        "users": [{"name": user, "user": certificate}],
        "contexts": [{"name": "control-plane", "context": {"cluster": "control-plane", "user": user}}],
    }
    file.write_text(json.dumps(config))


class ControlPlaneSpecs:
    """Describes the processes of one control plane, for `local.processes.supervisor`."""

    def __init__(self, binaries: Binaries, folder: Path, authority: Authority, ports: Ports) -> None:
        """Describe processes that keep their files in `folder`.

        Args:
            binaries: the programs.
            folder: has a kubeconfig `<user>.conf` for each of admin, controller-manager and scheduler.
            authority: its certificates were issued by `issue_certificates`.
            ports: where the processes listen.
        """
        self._binaries = binaries
        self._folder = folder
        self._authority = authority
        self._ports = ports

    def all(self, hpa_sync_s: float, after_api_server: Callable[[], Awaitable[None]]) -> Sequence[ProcessSpec]:
        """Return the processes.

        Args:
            hpa_sync_s: seconds between two decisions of a HorizontalPodAutoscaler; 15 by default in a real cluster.
            after_api_server: called when the API server is ready, before its clients start.
        """
        return (self._etcd(), self._api_server(after_api_server), self._controllers(hpa_sync_s), *self._nodes())

    def _etcd(self) -> ProcessSpec:
        client, peer = (f"http://{HOST}:{port}" for port in (self._ports.etcd, self._ports.etcd_peer))
        flags = {
            "data-dir": self._folder / "etcd",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
            "unsafe-no-fsync": "true",  # the data is thrown away with the cluster
            "log-level": "error",
        }
        return self._spec("etcd", flags, f"{client}/readyz")

    def _api_server(self, after_ready: Callable[[], Awaitable[None]]) -> ProcessSpec:
        path = self._authority.path
        flags = {
            "etcd-servers": f"http://{HOST}:{self._ports.etcd}",
            "secure-port": self._ports.api_server,
            "bind-address": HOST,
            "advertise-address": HOST,
            # The Service `kubernetes` would need an endpoint, and a loopback address is refused as one.
            "endpoint-reconciler-type": "none",
            "authorization-mode": "Node,RBAC",
            "tls-cert-file": path("api-server.crt"),
            "tls-private-key-file": path("api-server.key"),
            "client-ca-file": path("ca.crt"),
            "service-account-issuer": "https://control-plane.test",
            "service-account-key-file": path("service-account.pub"),
            "service-account-signing-key-file": path("service-account.key"),
            "service-cluster-ip-range": SERVICE_RANGE,
            "requestheader-client-ca-file": path("ca.crt"),
            "requestheader-allowed-names": "front-proxy",
            "requestheader-username-headers": "X-Remote-User",
            "requestheader-group-headers": "X-Remote-Group",
            "requestheader-extra-headers-prefix": "X-Remote-Extra-",
            "proxy-client-cert-file": path("front-proxy.crt"),
            "proxy-client-key-file": path("front-proxy.key"),
        }
        url = f"https://{HOST}:{self._ports.api_server}/readyz"
        return self._spec("kube-apiserver", flags, url, depends_on=("etcd",), after_ready=after_ready)

    def _controllers(self, hpa_sync_s: float) -> ProcessSpec:
        flags = self._client_flags("controller-manager", self._ports.controller_manager) | {
            "root-ca-file": self._authority.path("ca.crt"),
            "service-account-private-key-file": self._authority.path("service-account.key"),
            "use-service-account-credentials": "true",
            "horizontal-pod-autoscaler-sync-period": f"{hpa_sync_s}s",
            "horizontal-pod-autoscaler-initial-readiness-delay": "1s",
        }
        url = f"https://{HOST}:{self._ports.controller_manager}/healthz"
        return self._spec("kube-controller-manager", flags, url, depends_on=("kube-apiserver",))

    def _nodes(self) -> Sequence[ProcessSpec]:
        scheduler = self._spec(
            "kube-scheduler",
            self._client_flags("scheduler", self._ports.scheduler),
            f"https://{HOST}:{self._ports.scheduler}/healthz",
            depends_on=("kube-apiserver",),
        )
        stages = self._folder / "stages.yaml"
        stages.write_text("\n---\n".join(file.read_text() for file in (*self._binaries.stages(), _STAGES)))
        flags = {
            "kubeconfig": self._folder / "admin.conf",
            "config": stages,
            "manage-all-nodes": "true",
            "cidr": _POD_RANGE,
            "node-ip": _NODE_ADDRESS,
            "node-lease-duration-seconds": _LEASE_S,
            "server-address": f"{HOST}:{self._ports.kwok}",
        }
        kwok = self._spec("kwok", flags, f"http://{HOST}:{self._ports.kwok}/healthz", depends_on=("kube-apiserver",))
        return (scheduler, kwok)

    def _client_flags(self, user: str, port: int) -> dict[str, object]:
        config = self._folder / f"{user}.conf"
        return {"kubeconfig": config, "leader-elect": "false", "bind-address": HOST, "secure-port": port}

    def _spec(
        self,
        name: str,
        flags: Mapping[str, object],
        health_url: str,
        depends_on: Sequence[str] = (),
        after_ready: Callable[[], Awaitable[None]] | None = None,
    ) -> ProcessSpec:
        return ProcessSpec(
            name=name,
            argv=(self._binaries.program(name), *(f"--{flag}={value}" for flag, value in flags.items())),
            # HOME: kwok reads its own configuration there.
            env={"PATH": os.defpath, "HOME": str(self._folder), "TMPDIR": str(self._folder)},
            probe=lambda: _answers(health_url),
            depends_on=depends_on,
            stop_grace_s=_STOP_GRACE_S,
            after_ready=after_ready,
        )


async def _answers(url: str) -> bool:
    try:
        # Controller manager and scheduler sign their own certificates.
        async with httpx.AsyncClient(verify=False, trust_env=False, timeout=5) as client:  # noqa: S501
            return (await client.get(url)).is_success
    except httpx.HTTPError:
        return False
