"""Rules and dashboards use only metrics and labels that exist, and every alert has a runbook."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import promql_parser
import pytest
import yaml

from scripts.alerts import CHARTS, alerts
from scripts.gen_metrics import declared, modules
from scripts.gen_monitoring import ROOT, RUNBOOKS_URL, files
from scripts.panels import mesh_panels, panels

# Labels that Prometheus sets on each series of a pod.
TARGET_LABELS = {"namespace", "pod", "container"}
# Of kube-state-metrics.
KUBERNETES = {
    "kube_horizontalpodautoscaler_status_condition": {"namespace", "horizontalpodautoscaler", "condition", "status"},
    "kube_horizontalpodautoscaler_status_desired_replicas": {"namespace", "horizontalpodautoscaler"},
    "kube_horizontalpodautoscaler_spec_max_replicas": {"namespace", "horizontalpodautoscaler"},
    "kube_horizontalpodautoscaler_spec_min_replicas": {"namespace", "horizontalpodautoscaler"},
    "kube_pod_deletion_timestamp": {"namespace", "pod"},
}
RUNBOOKS = (ROOT / "docs" / "runbooks.md").read_text("utf-8")


def exported() -> dict[str, set[str]]:
    """Labels of each series that the services export, by its name on the wire."""
    found: dict[str, set[str]] = {}
    for metric in (m for folder in ("hocket", "services") for path in modules(folder) for m in declared(path)):
        labels = {*metric.labels, *TARGET_LABELS}
        names = [metric.name.replace("<service>", noun) for noun in CHARTS.values()]
        for name in names:
            if metric.kind == "histogram":
                found |= {f"{name}_bucket": {*labels, "le"}, f"{name}_sum": labels, f"{name}_count": labels}
            else:
                found[name] = labels
    return found


EXPORTED = exported() | KUBERNETES
EXPRESSIONS = [
    *(pytest.param(a.expression, id=f"{chart} {a.name}") for chart in CHARTS for a in alerts(chart)),
    *(
        pytest.param(expression.replace("$namespace", "x"), id=f"{chart} {panel.title}")
        for chart, shown in [*((chart, panels(chart)) for chart in CHARTS), ("mesh", mesh_panels())]
        for panel in shown
        for expression, _ in panel.queries
    ),
]


def nodes(expression: str) -> Iterator[promql_parser.Expr]:
    found: list[promql_parser.Expr] = []
    promql_parser.walk(promql_parser.parse(expression), found.append)
    yield from found


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_names_only_metrics_and_labels_that_exist(expression):
    selectors = [node for node in nodes(expression) if isinstance(node, promql_parser.VectorSelector)]
    assert selectors
    known: set[str] = set()
    for selector in selectors:
        assert selector.name in EXPORTED
        assert {matcher.name for matcher in selector.matchers.matchers} <= EXPORTED[selector.name]
        known |= EXPORTED[selector.name]
    groups = re.findall(r"\bby \(([^)]*)\)", expression)
    assert {label.strip() for group in groups for label in group.split(",")} <= known


def test_a_wrong_metric_or_label_would_be_found():
    for wrong in ("hocket_rag_querys_total", 'hocket_rag_queries_total{result="x"}', "sum by (tenant) (hocket_ready)"):
        with pytest.raises(AssertionError):
            test_an_expression_names_only_metrics_and_labels_that_exist(wrong)


@pytest.mark.parametrize("chart", CHARTS)
def test_labels_in_summaries_are_those_of_the_expression(chart):
    for alert in alerts(chart):
        for label in re.findall(r"\$labels\.(\w+)", alert.summary):
            assert re.search(rf"\bby \([^)]*\b{label}\b", alert.expression) or " by (" not in alert.expression, (
                alert.name
            )


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    headings = re.findall(r"^### (\w+)$", RUNBOOKS, re.MULTILINE)
    assert sorted(headings) == sorted({alert.name for chart in CHARTS for alert in alerts(chart)})


def test_the_files_of_the_charts_are_what_the_scripts_say():
    stale = [str(path) for path, text in files().items() if not path.exists() or path.read_text("utf-8") != text]
    assert stale == [], "run `make docs`"


@pytest.mark.parametrize("chart", CHARTS)
def test_rules_are_a_list_of_groups_with_severity_service_and_runbook(chart):
    text = next(text for path, text in files().items() if path.parts[-4:-1] == (chart, "files", "rules"))
    (group,) = yaml.safe_load(text)
    assert group["name"] == f"hocket-{chart}"
    for rule in group["rules"]:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["labels"]["service"] == chart
        assert rule["annotations"]["runbook_url"] == f"{RUNBOOKS_URL}#{rule['alert'].lower()}"


def test_dashboards_have_distinct_uids_and_panels_that_do_not_overlap():
    made = [json.loads(text) for path, text in files().items() if path.suffix == ".json"]
    assert len({dashboard["uid"] for dashboard in made}) == len(made) == len(CHARTS) + 1
    for dashboard in made:
        places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in dashboard["panels"]]
        assert len(set(places)) == len(places)
        assert len({p["id"] for p in dashboard["panels"]}) == len(places)
