"""Evictions, as the drain of a node makes them: never blocked at one pod, and few at once at ten."""

from __future__ import annotations

import math
from http import HTTPStatus

import pytest

from scripts.control_plane.kubernetes_api import KubernetesError
from tests.chart import helm
from tests.chart.live.cases import quick
from tests.chart.live.release import Release

# Its pods become ready 4 s after their start, so that evictions meet a Deployment that is not whole.
SLOW = "slow"


def evict(release: Release, pod: str) -> bool:
    """Evict a pod; False if a PodDisruptionBudget forbids it now."""
    try:
        release.api.create(
            f"/api/v1/namespaces/{release.namespace}/pods/{pod}/eviction",
            {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}},
        )
    except KubernetesError as error:
        if error.status == HTTPStatus.TOO_MANY_REQUESTS:
            return False
        raise
    return True


def install(make_release, chart: str, pods: int) -> Release:
    release = make_release(chart, prefix=SLOW)
    release.install(quick(chart, {"autoscaling": {"enabled": False}, "replicaCount": pods}))
    release.wait_running(pods)
    budget = "policy/v1/poddisruptionbudgets"
    release.wait(
        lambda: release.only(budget).get("status", {}).get("currentHealthy") == pods, "the budget knows the pods"
    )
    return release


@pytest.mark.parametrize("chart", helm.SERVICES)
def test_eviction_of_the_only_pod_is_not_blocked(make_release, chart):
    release = install(make_release, chart, 1)
    (pod,) = release.running()
    assert evict(release, pod)
    release.wait(lambda: release.running() and pod not in release.running(), "another pod runs")


def test_evictions_of_ten_pods_leave_the_budget_running(make_release, measured):
    release = install(make_release, "media-gateway", 10)
    (budget,) = release.list("policy/v1/poddisruptionbudgets")
    away = budget["spec"]["maxUnavailable"]
    allowed = math.ceil(10 * int(away[:-1]) / 100) if isinstance(away, str) else away
    pods, refused = set(release.running()), 0
    with release.watch_pods() as watch:

        def all_are_evicted() -> bool:
            nonlocal refused
            for pod in sorted(pods):
                if evict(release, pod):
                    pods.remove(pod)
                else:
                    refused += 1
            return not pods

        release.wait(all_are_evicted, "all pods are evicted")
        release.wait_running(10)
    measured(f"eviction of 10 pods with at most {allowed} away: never fewer than {watch.fewest}, {refused} refused")
    assert watch.fewest >= 10 - allowed
    assert refused
