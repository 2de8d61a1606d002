"""A Kubernetes cluster for a session: a real control plane with fake nodes (scripts/control_plane).

`make kube` builds it once. Where it is not built, one test says so and the others are left out.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from scripts.control_plane import binaries
from scripts.control_plane.cluster import Cluster
from tests.chart import helm
from tests.chart.live.release import Release
from tests.fakes.loop_thread import LoopThread
from tests.fakes.waiting import START_S

LIVE = Path(__file__).parent
NOT_BUILT = "live chart tests did not run: the control plane is not built on this machine; `make kube` builds it once"
_left_out = pytest.StashKey[int]()
_measured = pytest.StashKey[list[str]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    live = [item for item in items if LIVE in item.path.parents]
    if not live or binaries.find() is not None:
        return
    config.stash[_left_out] = len(live)
    live[0].add_marker(pytest.mark.skip(reason=NOT_BUILT))
    config.hook.pytest_deselected(items=live[1:])
    items[:] = [item for item in items if item not in live[1:]]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    count = config.stash.get(_left_out, 0)
    if count:
        terminalreporter.write_line(f"{NOT_BUILT} ({count} tests)", yellow=True)
    for line in config.stash.get(_measured, ()):
        terminalreporter.write_line(f"measured: {line}")


@pytest.fixture(scope="session")
def measured(pytestconfig) -> Callable[[str], None]:
    """Take a line with a measured number, which is printed at the end of the run."""
    return pytestconfig.stash.setdefault(_measured, []).append


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    built = binaries.find()
    assert built, NOT_BUILT
    loop = LoopThread("control-plane")
    starting = Cluster.start(built, tmp_path_factory.mktemp("cluster"))
    try:
        yield loop.run(starting.__aenter__(), timeout_s=2 * START_S)
    finally:
        loop.run(starting.__aexit__(None, None, None), timeout_s=START_S)
        loop.close()


@pytest.fixture
def make_namespace(cluster) -> Iterator[Callable[[str], str]]:
    """Create a namespace in which Pod Security enforces `restricted`; deleted after the test.

    The prefix chooses how pods behave (scripts/control_plane/stages.yaml).
    """
    with ExitStack() as after:

        def make(prefix: str = "chart") -> str:
            name = f"{prefix}-{secrets.token_hex(3)}"
            enforce = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
            cluster.api.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": enforce}})
            after.callback(cluster.api.delete, f"/api/v1/namespaces/{name}")
            return name

        yield make


@pytest.fixture
def make_release(cluster, make_namespace) -> Callable[..., Release]:
    """Name a release of a chart, in a new namespace unless one is given."""

    def make(chart: str, name: str = "", namespace: str = "", prefix: str = "chart") -> Release:
        return Release(cluster, namespace or make_namespace(prefix), name or chart, helm.folder(chart))

    return make
