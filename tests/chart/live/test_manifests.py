"""The API server accepts every object of every ci case, with no unknown field and no warning."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest

from scripts.control_plane.kubernetes_api import KubernetesApi, KubernetesError, Object
from tests.chart import helm


@cache
def plurals(api: KubernetesApi, group_version: str) -> dict[str, tuple[str, bool]]:
    """Kind -> plural, and whether it lives in a namespace."""
    found = api.get(f"/api/{group_version}" if group_version == "v1" else f"/apis/{group_version}")["resources"]
    return {each["kind"]: (each["name"], each["namespaced"]) for each in found if "/" not in each["name"]}


def path(api: KubernetesApi, namespace: str, each: Object) -> str:
    version, name = each["apiVersion"], each["metadata"]["name"]
    plural, namespaced = plurals(api, version)[each["kind"]]
    prefix = "/api" if version == "v1" else "/apis"
    return f"{prefix}/{version}{f'/namespaces/{namespace}' if namespaced else ''}/{plural}/{name}"


@pytest.fixture(scope="module")
def priority_class(cluster) -> Iterator[None]:
    """What a ci case expects to be in the cluster: a pod that names an unknown class is refused."""
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    cluster.api.create(classes, {"metadata": {"name": "voice"}, "value": 1000})
    yield
    cluster.api.delete(f"{classes}/voice")


@pytest.mark.usefixtures("priority_class")
@pytest.mark.parametrize(("chart", "case"), helm.CASES)
def test_server_accepts_every_object(cluster, make_namespace, chart, case):
    namespace = make_namespace()
    refused = []
    # A pod is refused before its ServiceAccount exists: those are stored.
    found = sorted(helm.objects(chart, helm.case(chart, case)), key=lambda each: each["kind"] != "ServiceAccount")
    for each in found:
        each["metadata"]["namespace"] = namespace
        try:
            address = path(cluster.api, namespace, each)
            cluster.api.apply(address, each, dry_run=each["kind"] != "ServiceAccount")
        except KubernetesError as error:
            refused.append(str(error))
    assert refused == []
