"""Charts, topology and compose agree on who calls whom, on stores, ports and settings."""

from __future__ import annotations

import pytest
import yaml

from local.topology import NOUNS, SERVICES, find_service
from scripts.charts.spec import CHARTS, SERVICE_CHARTS, chart_of
from scripts.lock_file import ROOT
from tests.chart import helm

COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
MINIMAL = helm.case("hocket", "minimal-values.yaml")


def kebab(noun: str) -> str:
    return noun.replace("_", "-")


def configuration(name: str, release: str = "one") -> dict[str, str]:
    (found,) = (
        each["data"]
        for each in helm.of_kind("ConfigMap", helm.objects("hocket", MINIMAL, release=release))
        if each["metadata"]["name"] == f"{release}-{name}"
    )
    return found


def policy(name: str) -> dict:
    return helm.the("NetworkPolicy", helm.objects(name))["spec"]


def components(peers: list[dict]) -> set[str]:
    labels = (peer.get("podSelector", {}).get("matchLabels", {}) for peer in peers)
    return {found["app.kubernetes.io/component"] for found in labels if found}


def test_there_is_a_chart_for_each_service_and_each_has_a_condition():
    assert set(SERVICE_CHARTS) == {kebab(noun) for noun in NOUNS} <= set(helm.ALL)
    dependencies = yaml.safe_load((CHARTS / "hocket" / "Chart.yaml").read_text())["dependencies"]
    conditions = {each["name"]: each.get("condition") for each in dependencies}
    assert conditions == {"chassis": None} | {name: f"{name}.enabled" for name in SERVICE_CHARTS}


@pytest.mark.parametrize("noun", NOUNS)
def test_targets_name_the_headless_services_of_the_release(noun):
    service, found = find_service(noun), configuration(kebab(noun))
    targets = {name: value for name, value in found.items() if name.endswith("_TARGET")}
    assert targets == {
        f"{service.prefix}{called.upper()}_TARGET": f"dns:///one-{kebab(called)}-headless.hocket.svc:50051"
        for called in service.calls
    }
    services = {each["metadata"]["name"] for each in helm.of_kind("Service", helm.objects("hocket", MINIMAL))}
    assert {f"one-{kebab(called)}-headless" for called in service.calls} <= services


@pytest.mark.parametrize("noun", NOUNS)
def test_callers_and_called_services_are_those_of_the_topology(noun):
    spec = policy(kebab(noun))
    grpc = next(rule for rule in spec["ingress"] if rule["ports"] == [{"protocol": "TCP", "port": "grpc"}])
    callers = {kebab(s.noun) for s in SERVICES if noun in s.calls}
    assert components(grpc["from"]) == callers | {f"{kebab(noun)}-test"}
    called = {name for rule in spec["egress"] for name in components(rule.get("to", []))}
    assert called == {kebab(each) for each in find_service(noun).calls}
    ports = {port["port"] for rule in spec["egress"] for port in rule["ports"]}
    assert (6379 in ports) == ("redis" in find_service(noun).servers)
    assert (5432 in ports) == ("postgres" in find_service(noun).servers)
    assert (7880 in ports) == ("livekit" in find_service(noun).servers)


@pytest.mark.parametrize("noun", NOUNS)
def test_settings_of_compose_are_given_by_the_charts(noun):
    """Of what compose sets, a chart leaves out keys of vendors, which are optional, and reflection."""
    name = kebab(noun)
    chart = chart_of(name)
    environment = COMPOSE[name]["environment"]
    optional = {prefix for prefix, value in environment.items() if value is None}
    of_compose = set(environment) - optional - {f"{chart.service.prefix}REFLECTION"}
    secrets = {f"{chart.service.prefix}{secret.upper()}" for secret in chart.secrets_of_chart}
    assert of_compose <= set(configuration(name)) | secrets | {f"{chart.service.prefix}LIVEKIT_PUBLIC_URL"}


def test_journals_are_on_a_volume_of_the_same_path_as_in_compose():
    for service in SERVICES:
        variable = f"{service.prefix}COST_JOURNAL_FILE"
        assert configuration(kebab(service.noun)).get(variable) == COMPOSE[kebab(service.noun)]["environment"].get(
            variable
        )


def test_the_gateway_has_the_numbers_of_the_plan():
    found = helm.objects("media-gateway")
    scaler = helm.the("HorizontalPodAutoscaler", found)["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (10, 100)
    assert scaler["metrics"][0]["pods"]["metric"]["name"] == "livekit_active_rooms"
    container = helm.the("Deployment", found)["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["requests"] | {"ephemeral-storage": ""} == {
        "cpu": "2",
        "memory": "4Gi",
        "ephemeral-storage": "",
    }
    assert (container["resources"]["limits"]["cpu"], container["resources"]["limits"]["memory"]) == ("4", "8Gi")
    assert {"name": "metrics", "containerPort": 8081, "protocol": "TCP"} in container["ports"]
    service = next(each for each in helm.of_kind("Service", found) if "clusterIP" not in each["spec"])
    assert service["spec"]["type"] == "ClusterIP"
    assert 8081 in [port["port"] for port in service["spec"]["ports"]]


def test_generated_files_are_fresh():
    from scripts.gen_charts import pages

    assert [str(path) for path, text in pages() if path.read_text() != text] == []
