"""Build the programs of the control plane from their Go modules into the user's cache, once.

A build that was cut off continues where it stopped. The cache folder is named after everything that decides its
content, so that another version is another folder.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.embedded import go_builds
from local.errors import LocalError
from local.processes.commands import run_command
from local.progress import Progress, progress_reminder

KUBERNETES_VERSION = "1.36.3"
# Program -> its package. One module (go/) has all of them: they share nearly everything that is compiled.
PROGRAMS: Mapping[str, str] = {
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
    "etcd": "go.etcd.io/etcd/server/v3",
}
# Stages of kwok's own module that make a node ready and keep it so.
_NODE_STAGES = (
    "kustomize/stage/node/fast/node-initialize.yaml",
    "kustomize/stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
)
_GO_MODULE = Path(__file__).parent / "go"
_BUILD_TIMEOUT_S = 14_400
_FREE_BYTES_MIN = 6 * 1024**3  # sources, objects and binaries


@dataclass(frozen=True, slots=True)
class CrdSource:
    """Custom resource definitions that a project ships in its Go module.

    Attributes:
        module: path of the module.
        version: its version.
        checksum: `h1:` checksum of the module's zip file.
        files: paths in the module.
    """

    module: str
    version: str
    checksum: str
    files: Sequence[str]


# The definitions that the charts' optional objects need. The Prometheus operator's are in no module; crds/ has them.
CRDS = (
    CrdSource(
        "github.com/kedacore/keda/v2",
        "v2.21.0",
        "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=",
        ("config/crd/bases/keda.sh_scaledobjects.yaml", "config/crd/bases/keda.sh_triggerauthentications.yaml"),
    ),
    CrdSource(
        "github.com/cert-manager/cert-manager",
        "v1.21.0",
        "h1:BCoB2BxA1lbqPusZCqPLPn8Q9MhraL7RbZGHbBcm3W8=",
        ("deploy/crds/cert-manager.io_certificates.yaml", "deploy/crds/cert-manager.io_issuers.yaml"),
    ),
    CrdSource(
        "github.com/external-secrets/external-secrets",
        "v0.16.2",
        "h1:iNY+gIgSyL5higXTfnz+hdPCaiB/43UiHLqE7HBpj68=",
        ("config/crds/bases/external-secrets.io_externalsecrets.yaml",),
    ),
    CrdSource(
        "sigs.k8s.io/gateway-api",
        "v1.6.3",
        "h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc=",
        (
            "config/crd/standard/gateway.networking.k8s.io_grpcroutes.yaml",
            "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
        ),
    ),
    CrdSource(
        "sigs.k8s.io/secrets-store-csi-driver",
        "v1.4.8",
        "h1:YmL0lx9HMYqeZCnLyOZRMuGAZXmP/e42UGCCAnMKjgE=",
        ("config/crd/bases/secrets-store.csi.x-k8s.io_secretproviderclasses.yaml",),
    ),
)


@dataclass(frozen=True, slots=True)
class Binaries:
    """A finished build.

    Attributes:
        folder: the cache folder.
    """

    folder: Path

    def program(self, name: str) -> str:
        """Return the path of a member of `PROGRAMS`."""
        return str(self.folder / "bin" / name)

    def stages(self) -> Sequence[Path]:
        """Return the stage files of kwok's module."""
        return sorted((self.folder / "stages").glob("*.yaml"))

    def crds(self) -> Sequence[Path]:
        """Return the custom resource definitions of `CRDS`."""
        return sorted((self.folder / "crds").glob("*.yaml"))


def cache_name() -> str:
    """Return the name of the cache folder: the version of Kubernetes, and a digest of what else is built."""
    decisive = [*((_GO_MODULE / name).read_bytes() for name in ("go.mod", "go.sum")), repr(CRDS).encode()]
    return f"control-plane-v{KUBERNETES_VERSION}-{hashlib.sha256(b''.join(decisive)).hexdigest()[:8]}"


def find() -> Binaries | None:
    """Return the finished build of this version, or None if there is none."""
    found = go_builds.find_cached(cache_name())
    return Binaries(found) if found else None


async def find_or_build(progress: Progress) -> Binaries:
    """Return the finished build of this version; build it first if needed.

    About 12 minutes on two idle cores, and 2 GB of memory while kube-apiserver is linked.

    Args:
        progress: called once per step, and while a step runs.

    Raises:
        LocalError: It cannot be built; the message contains the reason.
    """
    found = find()
    if found:
        return found
    target = go_builds.writable_cache("the control plane", "") / cache_name()
    async with go_builds.build_lock(target.with_name(f"{target.name}.lock"), "the control plane", progress):
        if not target.exists():
            await _build(target, progress)
    return Binaries(target)


async def _build(target: Path, progress: Progress) -> None:
    go_builds.check_free_space(target.parent, _FREE_BYTES_MIN, "the control plane", "")
    # Kept after a failure: modules and compiled packages in it are not fetched and compiled a second time.
    scratch = target.with_name(f"{target.name}.building")
    out, module = scratch / "out", scratch / "module"
    for part in ("bin", "stages", "crds"):
        (out / part).mkdir(parents=True, exist_ok=True)
    shutil.copytree(_GO_MODULE, module, dirs_exist_ok=True)
    builder = _Builder(await go_builds.go_command(scratch, ""), scratch, module)
    for number, (name, package) in enumerate(PROGRAMS.items(), 1):
        line = f"building {name} ({number} of {len(PROGRAMS)}; first time only, all take about 12 minutes on two cores)"
        async with progress_reminder(progress, line, every_s=60):
            await builder.go("build", f"-ldflags={_linker_flags()}", "-o", str(out / "bin" / name), package)
    kwok = Path((await builder.go("list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok")).strip())
    for stage in _NODE_STAGES:
        shutil.copyfile(kwok / stage, out / "stages" / Path(stage).name)
    progress("fetching custom resource definitions")
    for source in CRDS:
        folder = await builder.module_folder(source)
        for file in source.files:
            shutil.copyfile(folder / file, out / "crds" / Path(file).name)
    out.replace(target)
    shutil.rmtree(scratch, ignore_errors=True)


def _linker_flags() -> str:
    # Without these the server calls itself v0.0.0, and every `kubeVersion` of a chart refuses it.
    major, minor, _ = KUBERNETES_VERSION.split(".")
    values = {"gitVersion": f"v{KUBERNETES_VERSION}", "gitMajor": major, "gitMinor": minor}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(("-s -w", *(f"-X {p}.{key}={value}" for p in packages for key, value in values.items())))


class _Builder:
    def __init__(self, go: Sequence[str], scratch: Path, module: Path) -> None:
        self._go = go
        self._scratch = scratch
        self._module = module

    async def go(self, *arguments: str, cwd: Path | None = None) -> str:
        return await run_command(
            (*self._go, *arguments),
            action=f"cannot build the control plane (`go {' '.join(arguments)[:100]}`)",
            env=go_builds.go_environment(self._scratch) | {"GOWORK": "off"},
            timeout_s=_BUILD_TIMEOUT_S,
            cwd=cwd or self._module,
        )

    async def module_folder(self, source: CrdSource) -> Path:
        """Fetch a module and return its folder.

        Raises:
            LocalError: It cannot be fetched, or is not the one that was pinned.
        """
        # Outside of the module: nothing is compiled from it, so it must not change versions there.
        answer = await self.go("mod", "download", "-json", f"{source.module}@{source.version}", cwd=self._scratch)
        found: Mapping[str, str] = json.loads(answer[answer.index("{") :])
        if found["Sum"] != source.checksum:
            raise LocalError(f"{source.module}@{source.version} has checksum {found['Sum']}, not {source.checksum}")
        return Path(found["Dir"])
