"""Every chart passes `helm lint --strict` and the Kubernetes schemas, with its defaults and with each ci case."""

from __future__ import annotations

from functools import cache

import kubernetes_validate
import pytest
import yaml
from helm_python.chart import lint
from kubernetes_validate import utils

from scripts.charts.spec import CHARTS
from scripts.repository import project_version
from tests.chart import helm

# Extensions of the API, whose schemas kubernetes-validate does not have.
CUSTOM = {
    *("PodMonitor", "ServiceMonitor", "PrometheusRule", "ExternalSecret", "SecretProviderClass", "Certificate"),
    *("ScaledObject", "HTTPRoute", "GRPCRoute"),
}
VERSIONS = ("1.33", "1.37")
CASES = [*((name, "") for name in helm.APPLICATIONS), *helm.CASES]


@pytest.fixture(scope="module", autouse=True)
def _schemas_read_once():
    """kubernetes-validate reads 10 MB of definitions for each object."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "schema_contents", cache(utils.schema_contents))
        yield


def values(name: str, file: str) -> dict:
    return helm.case(name, file) if file else {}


@pytest.mark.parametrize(("name", "file"), CASES)
def test_lint_finds_nothing(name, file):
    report = lint(helm.folder(name), values(name, file), strict=True, kube_version="v1.33.0")
    assert report["errors"] == []
    assert [each for each in report["messages"] if each["severity"] > 1] == []


@pytest.mark.parametrize(("name", "file"), CASES)
def test_objects_match_the_schemas_of_kubernetes(name, file):
    for each in helm.objects(name, values(name, file)):
        if each["kind"] not in CUSTOM:
            for version in VERSIONS:
                kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("name", helm.ALL)
def test_chart_metadata(name):
    chart = yaml.safe_load((CHARTS / name / "Chart.yaml").read_text())
    assert chart["apiVersion"] == "v2"
    assert chart["name"] == name
    assert chart["type"] == ("library" if name == "chassis" else "application")
    assert chart["kubeVersion"] == ">=1.29.0-0"
    assert chart["version"] == chart["appVersion"] == project_version()
    for dependency in chart.get("dependencies", ()):
        assert dependency["version"] == project_version()
        assert dependency["repository"] == f"file://../{dependency['name']}"
    if name != "chassis":
        assert all(chart[field] for field in ("description", "sources", "maintainers", "icon"))
        annotations = chart["annotations"]
        assert annotations["artifacthub.io/license"] == "Apache-2.0"
        assert yaml.safe_load(annotations["artifacthub.io/changes"])
        images = [each["image"] for each in yaml.safe_load(annotations["artifacthub.io/images"])]
        wanted = [name] if name in helm.SERVICES else helm.SERVICES
        assert sorted(images) == sorted(f"hocket/{each}:{project_version()}" for each in wanted)
