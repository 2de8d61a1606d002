"""The charts carry the alerts and dashboards, and Prometheus accepts the rules."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
import yaml

from scripts.gen_monitoring import files
from tests.chart import helm

EVERYWHERE = helm.nested("global", "monitoring", "enabled", value=True)
URL = "https://docs.example.com/runbooks/"


@pytest.fixture(params=helm.SERVICES, scope="module")
def rendered(request):
    url = helm.nested("monitoring", "prometheusRule", "runbooksUrl", value=URL)
    return request.param, helm.objects(request.param, helm.merged(EVERYWHERE, url))


def test_a_chart_renders_nothing_for_monitoring_by_default():
    for name in helm.SERVICES:
        assert not {each["kind"] for each in helm.objects(name)} & {"PrometheusRule", "PodMonitor", "ServiceMonitor"}


def test_rules_are_rendered_unchanged_but_for_the_address_of_the_runbooks(rendered):
    name, objects = rendered
    text = next(text for path, text in files().items() if path.parts[-4:-1] == (name, "files", "rules"))
    groups = helm.the("PrometheusRule", objects)["spec"]["groups"]
    assert groups == yaml.safe_load(text.replace("RUNBOOKS_URL", URL))
    links = [rule["annotations"]["runbook_url"] for group in groups for rule in group["rules"]]
    assert all(link.startswith(f"{URL}#hocket") for link in links)


def test_each_dashboard_is_json_in_a_config_map_that_grafana_finds(rendered):
    name, objects = rendered
    found = helm.the("ConfigMap", objects, "-dashboards")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(found["data"][f"{name}.json"])["uid"] == f"hocket-{name}"


def test_rules_select_the_container_of_the_pods(rendered):
    name, objects = rendered
    containers = helm.the("Deployment", objects)["spec"]["template"]["spec"]["containers"]
    assert [each["name"] for each in containers] == [name]


def test_the_umbrella_has_the_dashboard_of_the_mesh():
    found = helm.the("ConfigMap", helm.objects("hocket", EVERYWHERE), "mesh-dashboards")
    assert json.loads(found["data"]["mesh.json"])["uid"] == "hocket-mesh"
    assert not [e for e in helm.objects("hocket") if e["metadata"]["name"].endswith("mesh-dashboards")]


@pytest.fixture
def promtool():
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not on PATH: unpack Debian's package prometheus and add its usr/bin")

    def run(*arguments: str) -> None:
        done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return run


def test_prometheus_accepts_every_rule(tmp_path, rendered, promtool):
    name, objects = rendered
    rules = tmp_path / f"{name}.yaml"
    rules.write_text(yaml.safe_dump(helm.the("PrometheusRule", objects)["spec"]))
    promtool("check", "rules", str(rules))


AT = 'namespace="a",pod="p"'
ROUTER = f'{AT},container="llm-router",kind="llm"'
GATEWAY = f'{AT},container="media-gateway"'
HPA = 'namespace="a",horizontalpodautoscaler="one-rag"'
# Chart, series over 40 minutes, alert, and whether it fires at the end.
SITUATIONS = [
    (
        "llm-router",
        {
            f"hocket_cost_events_pending{{{ROUTER}}}": "5x40",
            f"hocket_cost_events_recorded_total{{{ROUTER}}}": "7x40",
        },
        "HocketCostEventsPending",
        True,
    ),
    (
        "llm-router",
        {
            f"hocket_cost_events_pending{{{ROUTER}}}": "5x40",
            f"hocket_cost_events_recorded_total{{{ROUTER}}}": "7+60x40",
        },
        "HocketCostEventsPending",
        False,
    ),
    (
        "media-gateway",
        {
            f'hocket_media_gateway_degraded_turns_total{{{GATEWAY},part="rag"}}': "0+6x40",
            f'hocket_media_gateway_turns_total{{{GATEWAY},outcome="degraded"}}': "0+6x40",
            f'hocket_media_gateway_turns_total{{{GATEWAY},outcome="answered"}}': "0+54x40",
        },
        "HocketTurnsDegraded",
        True,
    ),
    (
        "media-gateway",
        {
            f'hocket_media_gateway_degraded_turns_total{{{GATEWAY},part="rag"}}': "0+1x40",
            f'hocket_media_gateway_turns_total{{{GATEWAY},outcome="answered"}}': "0+60x40",
        },
        "HocketTurnsDegraded",
        False,
    ),
    ("rag", {f'hocket_ready{{{AT},container="rag"}}': "0x40"}, "HocketServiceDown", True),
    ("rag", {f'hocket_ready{{{AT},container="rag"}}': "1x40"}, "HocketServiceDown", False),
    ("rag", {f'hocket_ready{{{AT},container="rag"}}': "0x40"}, "HocketPodNotReady", True),
    (
        "rag",
        {f'hocket_ready{{{AT},container="rag"}}': "0x40", f"kube_pod_deletion_timestamp{{{AT}}}": "1x40"},
        "HocketPodNotReady",
        False,
    ),
    (
        "rag",
        {
            f"kube_horizontalpodautoscaler_status_desired_replicas{{{HPA}}}": "9x40",
            f"kube_horizontalpodautoscaler_spec_max_replicas{{{HPA}}}": "9x40",
            f"kube_horizontalpodautoscaler_spec_min_replicas{{{HPA}}}": "2x40",
        },
        "HocketAutoscalerAtMaximum",
        True,
    ),
    (
        "rag",
        {
            f"kube_horizontalpodautoscaler_status_desired_replicas{{{HPA}}}": "2x40",
            f"kube_horizontalpodautoscaler_spec_max_replicas{{{HPA}}}": "2x40",
            f"kube_horizontalpodautoscaler_spec_min_replicas{{{HPA}}}": "2x40",
        },
        "HocketAutoscalerAtMaximum",
        False,
    ),
]


@pytest.mark.parametrize(("chart", "series", "alert", "fires"), SITUATIONS)
def test_an_alert_fires_when_it_should_and_only_then(tmp_path, promtool, chart, series, alert, fires):
    rules = tmp_path / "rules.yaml"
    text = next(text for path, text in files().items() if path.parts[-4:-1] == (chart, "files", "rules"))
    rules.write_text(yaml.safe_dump({"groups": yaml.safe_load(text)}))
    # The number of firing alerts; ALERTS is Prometheus' own series.
    expression = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)'
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": expression, "eval_time": "35m", "exp_samples": [{"labels": "{}", "value": int(fires)}]}
        ],
    }
    test = tmp_path / "test.yaml"
    test.write_text(
        yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [case]}), encoding="utf-8"
    )
    promtool("test", "rules", str(test))
