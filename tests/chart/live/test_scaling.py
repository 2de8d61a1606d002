"""Pods follow the scale signal, and no upgrade, rollback or switch of the scaling lowers the number that runs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from helm_python import HelmError

from scripts.control_plane.cluster import condition_is_true
from scripts.control_plane.kubernetes_api import Object
from services.media_gateway.adapters.pod_deletion_cost import ANNOTATION, PodDeletionCost
from tests.chart.helm import merged
from tests.chart.live.cases import FEW, GATEWAY, HPA, KEDA, MANY, OWN_SPEED_UP, STATIC, signal
from tests.chart.live.release import Release, Values

HPAS = "autoscaling/v2/horizontalpodautoscalers"
DECISIONS = 3
METRIC, TARGET = signal(GATEWAY)


def ask_for(release: Release, pods: int) -> None:
    """Report a load for which `pods` pods are right."""
    release.cluster.metrics.set_total(release.namespace, METRIC, pods * TARGET)


def install_busy(release: Release, values: Values) -> None:
    """Install the gateway under a load for `MANY` pods, and wait until they run."""
    ask_for(release, MANY)
    release.install(values)
    release.wait_running(MANY)


def wait_decisions(release: Release) -> None:
    """Wait until the autoscaler of the release, if it has one, has decided by its present specification."""
    metrics = release.cluster.metrics
    for hpa in release.list(HPAS):
        if any(each["type"] == "Pods" for each in hpa["spec"].get("metrics", ())):
            enough = metrics.reads(release.namespace, METRIC) + DECISIONS
            release.wait(lambda: metrics.reads(release.namespace, METRIC) >= enough, "the autoscaler has decided")  # noqa: B023
        else:
            # The cluster has no CPU metrics. With min = max the number of pods does not depend on them.
            release.wait(lambda: has_no_cpu_metrics(release.only(HPAS)), "the autoscaler has decided")


def has_no_cpu_metrics(hpa: Object) -> bool:
    conditions = hpa.get("status", {}).get("conditions", ())
    return any(each["type"] == "ScalingActive" and each["reason"] == "FailedGetResourceMetric" for each in conditions)


def act_as_keda(release: Release) -> None:
    """Create what KEDA's operator creates for a ScaledObject: an HPA that goes with it."""
    scaled = release.only("keda.sh/v1alpha1/scaledobjects")
    target = scaled["spec"]["scaleTargetRef"]["name"]
    owner = {"apiVersion": scaled["apiVersion"], "kind": scaled["kind"], "controller": True}
    owner |= {"name": scaled["metadata"]["name"], "uid": scaled["metadata"]["uid"]}
    external = {"metric": {"name": "s0-prometheus"}, "target": {"type": "AverageValue", "averageValue": "1"}}
    release.api.create(
        f"/apis/autoscaling/v2/namespaces/{release.namespace}/horizontalpodautoscalers",
        {
            "metadata": {"name": f"keda-hpa-{target}", "ownerReferences": [owner]},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
                "minReplicas": scaled["spec"]["minReplicaCount"],
                "maxReplicas": scaled["spec"]["maxReplicaCount"],
                "metrics": [{"type": "External", "external": external}],
            },
        },
    )


def service_account(release: Release, folder: Path) -> Path:
    """Fill a folder as the kubelet does for the pods of a release: token, authority and namespace."""
    name = release.pods()[0]["spec"]["serviceAccountName"]
    answer = release.api.create(
        f"/api/v1/namespaces/{release.namespace}/serviceaccounts/{name}/token",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
    )
    (folder / "token").write_text(answer["status"]["token"])
    (folder / "namespace").write_text(release.namespace)
    (folder / "ca.crt").write_text(release.cluster.ca.read_text())
    return folder


async def tell_rooms(release: Release, pod: str, rooms: int, folder: Path) -> None:
    """Let the gateway's own code annotate its pod, with the rights that the chart gives it."""
    cost = PodDeletionCost(pod, lambda: rooms, api_url=release.cluster.url, service_account=folder)
    annotating = asyncio.create_task(cost.run())
    try:

        def is_annotated() -> bool:
            found = release.api.get(f"/api/v1/namespaces/{release.namespace}/pods/{pod}")["metadata"]
            return found.get("annotations", {}).get(ANNOTATION) == str(rooms)

        while not await asyncio.to_thread(is_annotated):
            assert not annotating.done(), annotating.result()
            await asyncio.sleep(0.05)
    finally:
        annotating.cancel()


def test_rooms_move_the_gateway_from_10_to_50_pods_and_back_sparing_busy_pods(make_release, measured, tmp_path):
    release = make_release(GATEWAY)
    ask_for(release, 1)
    release.install(OWN_SPEED_UP)
    release.wait_running(FEW)
    ask_for(release, MANY)
    began_s = time.monotonic()
    release.wait_running(MANY)
    measured(f"{FEW} to {MANY} pods in {time.monotonic() - began_s:.0f} s, with an HPA that decides every 3 s")

    busy = sorted(release.running())[:FEW]
    folder = service_account(release, tmp_path)
    # Less than the target: 11 pods for the load of 10 would be within the tolerance of the HPA, 10 %.
    rooms = int(TARGET) - 1
    for pod in busy:
        asyncio.run(tell_rooms(release, pod, rooms, folder))
    began_s = time.monotonic()
    release.cluster.metrics.set_per_pod(release.namespace, METRIC, dict.fromkeys(busy, rooms))
    with release.watch_pods() as watch:
        release.wait_running(FEW)
    measured(f"{MANY} to {FEW} pods in {time.monotonic() - began_s:.0f} s, by 50 % each 5 s")
    assert sorted(release.running()) == busy
    assert set(busy).isdisjoint(watch.removed)
    assert watch.fewest == FEW


def test_lost_metric_holds_the_size_and_shows_in_the_status(make_release):
    release = make_release(GATEWAY)
    install_busy(release, HPA)

    def is_active() -> bool:
        return condition_is_true(release.only(HPAS), "ScalingActive")

    with release.watch_pods() as watch:
        release.cluster.metrics.remove(release.namespace, METRIC)
        release.wait(lambda: not is_active(), "the autoscaler reports the missing metric")
        wait_decisions(release)
    assert (watch.fewest, watch.most) == (MANY, MANY)
    ask_for(release, MANY)
    release.wait(is_active, "the autoscaler reads the metric again")


def test_upgrade_and_rollback_at_scale_never_have_fewer_pods(make_release, measured):
    release = make_release(GATEWAY)
    install_busy(release, HPA)
    with release.watch_pods() as watch:
        release.upgrade(merged(HPA, {"podAnnotations": {"test/revision": "2"}}))
        release.upgrade(merged(HPA, {"podAnnotations": {"test/revision": "3"}}))
        release.rollback(1)
        wait_decisions(release)
    measured(f"upgrade, upgrade and rollback at {MANY} pods: never fewer than {watch.fewest}")
    assert watch.fewest >= MANY
    assert len(watch.removed) >= 3 * MANY  # each has replaced every pod


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(STATIC, HPA, id="static-to-hpa"),
        pytest.param(HPA, STATIC, id="hpa-to-static"),
        pytest.param(HPA, KEDA, id="hpa-to-keda"),
        pytest.param(STATIC, KEDA, id="static-to-keda"),
    ],
)
@pytest.mark.parametrize("metric_is_lost", [False, True], ids=["metric", "no-metric"])
def test_switch_of_the_scaling_and_its_rollback_never_have_fewer_pods(
    make_release, measured, request, before, after, metric_is_lost
):
    release = make_release(GATEWAY)
    install_busy(release, before)
    if metric_is_lost:
        release.cluster.metrics.remove(release.namespace, METRIC)
    with release.watch_pods() as watch:
        release.upgrade(after)
        if after is KEDA:
            act_as_keda(release)
        wait_decisions(release)
        release.rollback(1)
        wait_decisions(release)
    measured(f"{request.node.callspec.id} and back at {MANY} pods: never fewer than {watch.fewest}")
    assert watch.fewest >= MANY


def test_upgrade_with_a_maximum_below_the_minimum_is_refused_and_changes_no_pod(make_release):
    release = make_release(GATEWAY)
    ask_for(release, 1)
    release.install(HPA)
    release.wait_running(FEW)
    with release.watch_pods() as watch:
        with pytest.raises(HelmError, match="(?i)max_?replicas"):
            release.upgrade(merged(HPA, {"autoscaling": {"minReplicas": FEW, "maxReplicas": FEW // 2}}))
        release.upgrade(HPA)
    assert (watch.fewest, watch.removed) == (FEW, [])
    assert release.status() == "deployed"
