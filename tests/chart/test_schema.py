"""Schemas of the charts' values: closed at every level, described, and as strict as the services' settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from helm_python.errors import HelmError

from scripts.charts.spec import CHARTS, SERVICE_CHARTS, chart_of
from tests.chart import helm

# Passed through as they are: labels and annotations, parameters of drivers, objects of the user.
OPEN = {"global", "chassis", "extraObjects"}


def schema(name: str) -> dict[str, Any]:
    return json.loads((CHARTS / name / "values.schema.json").read_text())


def object_schemas(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each schema of an object with its path."""
    if isinstance(node, dict):
        if "properties" in node or "object" in ([node["type"]] if isinstance(node.get("type"), str) else []):
            yield path, node
        for key, child in node.items():
            yield from object_schemas(child, f"{path}.{key}".removeprefix("."))
    elif isinstance(node, list):
        for child in node:
            yield from object_schemas(child, path)


def maps(values: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of each map of values."""
    if isinstance(values, dict):
        yield path
        for key, child in values.items():
            yield from maps(child, (*path, key))


@pytest.mark.parametrize("name", helm.APPLICATIONS)
def test_every_object_is_closed_or_a_map_of_one_type(name):
    loose = [
        path
        for path, each in object_schemas(schema(name))
        if each.get("additionalProperties") is not False
        and not isinstance(each.get("additionalProperties"), dict)
        and not OPEN & set(path.split("."))
        and "properties" in each
    ]
    assert loose == []


@pytest.mark.parametrize("name", helm.APPLICATIONS)
def test_a_typo_is_refused_with_its_name_at_every_level(name):
    values = yaml.safe_load((CHARTS / name / "values.yaml").read_text())
    free = {"commonLabels", "commonAnnotations", "annotations", "podAnnotations", "podLabels", "nodeSelector", "labels"}
    free |= {"parameters", "requests", "limits"}
    paths = [path for path in maps(values) if not free & set(path)]
    assert len(paths) > (30 if name in SERVICE_CHARTS else 10)
    for path in paths:
        with pytest.raises(HelmError, match="misspelt"):
            helm.chart(name).validate_schema(helm.nested(*path, "misspelt", value="x"))


@pytest.mark.parametrize("name", helm.SERVICES)
def test_typos_in_types_of_kubernetes_are_refused(name):
    wrong = [
        {"tolerations": [{"efect": "NoSchedule"}]},
        {"extraEnv": [{"name": "A", "valu": "b"}]},
        {"resources": {"limit": {"cpu": "1"}}},
        {"affinity": {"podAntiAfinity": {}}},
        {"sidecars": [{"name": "a", "image": "b", "securityContext": {"runAsNonRot": True}}]},
    ]
    for values in wrong:
        with pytest.raises(HelmError):
            helm.chart(name).validate_schema(values)


@pytest.mark.parametrize("name", helm.SERVICES)
def test_keys_that_an_umbrella_sets_are_taken(name):
    helm.chart(name).validate_schema({"global": {"storageClass": "fast"}, "enabled": True, "chassis": {"global": {}}})


@pytest.mark.parametrize("name", helm.APPLICATIONS)
def test_every_value_is_described(name):
    def undescribed(node: dict[str, Any], path: str) -> Iterator[str]:
        for key, child in node.get("properties", {}).items():
            if "description" not in child and not path.startswith(("secrets.", "global.secrets.", *SERVICE_CHARTS)):
                yield f"{path}{key}"
            yield from undescribed(child, f"{path}{key}.")

    found = [each for each in undescribed(schema(name), "") if ".items." not in each]
    assert [each for each in found if not each.startswith(("parentRefs", "tls.hosts"))] == []


@pytest.mark.parametrize("name", helm.SERVICES)
def test_settings_have_the_types_and_bounds_of_the_service(name):
    assert set(schema(name)["properties"]["settings"]["properties"]) == set(chart_of(name).settings)
    refused = [
        ({"drain_wait_s": 500}, "drain_wait_s"),
        ({"log_level": "LOUD"}, "log_level"),
        ({"reflection": "perhaps"}, "reflection"),
        ({"drain_wait": 5}, "drain_wait"),
    ]
    for settings, names in refused:
        with pytest.raises(HelmError, match=names):
            helm.chart(name).validate_schema({"settings": settings})


@pytest.mark.parametrize(
    "values",
    [
        {"image": {"digest": "sha256:short"}},
        {"image": {"pullPolicy": "Sometimes"}},
        {"podDisruptionBudget": {"maxUnavailable": 0}},
        {"podDisruptionBudget": {"minAvailable": 1}},
        {"autoscaling": {"minReplicas": 0}},
        {"replicaCount": 0},
        {"ports": {"grpc": 80}},
        {"secrets": {"values": {"deepgram_key": "x"}}},
        {"serviceMesh": "consul"},
    ],
)
def test_values_out_of_range_are_refused(values):
    with pytest.raises(HelmError):
        helm.chart("speech").validate_schema(values)
