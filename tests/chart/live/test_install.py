"""Each chart and the umbrella: installed under `restricted` Pod Security, ready, tested, and gone without a trace."""

from __future__ import annotations

import time

import pytest

from tests.chart import helm
from tests.chart.live.cases import needed
from tests.chart.live.resources import cluster_objects, objects

DEPLOYMENTS = "apps/v1/deployments"


@pytest.mark.parametrize("chart", helm.APPLICATIONS)
def test_chart_becomes_ready_passes_its_test_and_leaves_nothing(make_release, make_namespace, cluster, measured, chart):
    namespace = make_namespace()
    cluster_before = cluster_objects(cluster.api)
    release = make_release(chart, namespace=namespace)
    release.wait(lambda: "serviceaccounts/default" in objects(cluster.api, namespace), "the namespace is ready")
    release.wait(lambda: "configmaps/kube-root-ca.crt" in objects(cluster.api, namespace), "the namespace is ready")
    before = objects(cluster.api, namespace)
    began_s = time.monotonic()
    release.install(needed(chart))
    measured(f"{chart} ready in {time.monotonic() - began_s:.1f} s with {len(release.running())} pods")
    assert len(release.list(DEPLOYMENTS)) == (len(helm.SERVICES) if chart not in helm.SERVICES else 1)
    release.run_tests()
    release.uninstall()
    release.wait(lambda: objects(cluster.api, namespace) == before, "no object is left")
    assert cluster_objects(cluster.api) == cluster_before


@pytest.mark.parametrize("chart", helm.SERVICES)
def test_two_releases_in_one_namespace_do_not_share_pods(make_release, make_namespace, chart):
    namespace = make_namespace()
    first, second = (make_release(chart, name=name, namespace=namespace) for name in ("blue", "green"))
    first.install(needed(chart))
    second.install(needed(chart))
    assert first.running()
    assert second.running()
    for release, other in ((first, second), (second, first)):
        deployment = release.only(DEPLOYMENTS)
        wanted = deployment["spec"]["selector"]["matchLabels"]
        assert all(wanted.items() <= pod["metadata"]["labels"].items() for pod in release.pods())
        assert not any(wanted.items() <= pod["metadata"]["labels"].items() for pod in other.pods())
    second.uninstall()
    assert first.running()
