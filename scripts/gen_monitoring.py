"""Write the alert rules and dashboards of the charts from scripts/alerts.py and panels.py; --check fails when stale.

The token RUNBOOKS_URL in the rules stands for the address of docs/runbooks.md; the charts replace it by a value.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from scripts.alerts import CHARTS, alerts
from scripts.panels import Panel, mesh_panels, panels

ROOT = Path(__file__).resolve().parent.parent
CHARTS_FOLDER = ROOT / "deploy" / "helm"
RUNBOOKS_URL = "RUNBOOKS_URL"
NOTE = "# Written by scripts/gen_monitoring.py (`make docs`); edits here are lost.\n"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT = 12, 8


def main() -> None:
    """Write the files, or with --check compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when a file is stale, write nothing")
    check: bool = parser.parse_args().check
    stale = [path for path, text in files().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if check and stale:
        sys.exit("stale, run `make docs`: " + ", ".join(str(path.relative_to(ROOT)) for path in stale))
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files()[path], encoding="utf-8")


def files() -> dict[Path, str]:
    """Return every file with its text."""
    found = {
        CHARTS_FOLDER / "hocket/files/dashboards/mesh.json": dashboard("hocket: mesh", "hocket-mesh", mesh_panels())
    }
    for chart in CHARTS:
        folder = CHARTS_FOLDER / chart / "files"
        found[folder / "rules" / "alerts.yaml"] = rules(chart)
        found[folder / "dashboards" / f"{chart}.json"] = dashboard(f"hocket: {chart}", f"hocket-{chart}", panels(chart))
    return found


def rules(chart: str) -> str:
    """Return the rule group of a chart as a YAML list; JSON strings are YAML strings."""
    lines = [NOTE + f"- name: hocket-{chart}", "  rules:"]
    for alert in alerts(chart):
        lines += [
            f"    - alert: {alert.name}",
            f"      expr: {json.dumps(alert.expression)}",
            f"      for: {alert.minutes}m",
            "      labels:",
            f"        severity: {alert.severity}",
            f"        service: {chart}",
            "      annotations:",
            f"        summary: {json.dumps(alert.summary)}",
            f"        runbook_url: {json.dumps(f'{RUNBOOKS_URL}#{alert.name.lower()}')}",
        ]
    return "\n".join(lines) + "\n"


def dashboard(title: str, uid: str, shown: list[Panel]) -> str:
    """Return a Grafana dashboard as JSON."""
    variables: list[dict[str, Any]] = [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
        {
            "name": "namespace",
            "label": "Namespace",
            "type": "query",
            "datasource": DATASOURCE,
            "query": {"query": "label_values(hocket_build_info, namespace)", "refId": "namespace"},
            "includeAll": True,
            "multi": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
            "refresh": 2,
        },
    ]
    made: dict[str, Any] = {
        "title": title,
        "uid": uid,
        "tags": ["hocket"],
        "editable": True,
        "refresh": "30s",
        "schemaVersion": 39,
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": variables},
        "panels": [_panel(number, panel) for number, panel in enumerate(shown)],
    }
    return json.dumps(made, indent=2) + "\n"


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + i), "expr": expression, "legendFormat": legend, "datasource": DATASOURCE}
        for i, (expression, legend) in enumerate(panel.queries)
    ]
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": DATASOURCE,
        "gridPos": {"x": WIDTH * (number % 2), "y": HEIGHT * (number // 2), "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "options": {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull"]}},
        "targets": targets,
    }


if __name__ == "__main__":
    main()
