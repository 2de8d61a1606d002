"""Charts with their dependencies in place."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from scripts.charts.spec import CHARTS


def vendored(name: str, destination: Path) -> Path:
    """Copy a chart to `destination` with its `file://` dependencies in charts/, as `helm dependency build` does.

    Args:
        name: folder of the chart in deploy/helm.
        destination: folder that does not exist.

    Returns:
        The destination.
    """
    shutil.copytree(CHARTS / name, destination, ignore=shutil.ignore_patterns("charts", "Chart.lock", "*.tgz"))
    for dependency in yaml.safe_load((destination / "Chart.yaml").read_text(encoding="utf-8")).get("dependencies", ()):
        vendored(dependency["name"], destination / "charts" / dependency["name"])
    return destination
