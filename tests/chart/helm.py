"""Helm as a library: charts with their `file://` dependencies in place, and what they render."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from helm_python.chart import Chart

from scripts.charts.packages import vendored
from scripts.charts.spec import CHARTS, SERVICE_CHARTS

ALL = sorted(path.parent.name for path in CHARTS.glob("*/Chart.yaml"))
APPLICATIONS = [name for name in ALL if name != "chassis"]
SERVICES = [name for name in APPLICATIONS if name in SERVICE_CHARTS]
CASES = sorted((path.parent.parent.name, path.name) for path in CHARTS.glob("*/ci/*-values.yaml"))
Object = dict[str, Any]


@cache
def folder(name: str) -> Path:
    """Return a copy of the chart whose dependencies are in charts/, as `helm dependency build` leaves it."""
    scratch = Path(tempfile.mkdtemp(prefix="hocket-charts-"))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    return vendored(name, scratch / name)


def chart(name: str) -> Chart:
    """Load the chart anew: rendering removes the dependencies that the values disable from the loaded one."""
    return Chart.load(folder(name))


def manifests(name: str, values: Mapping[str, Any] | None = None, *, release: str = "one", namespace: str = "hocket"):
    """Return template path -> text."""
    return chart(name).render(dict(values or {}), name=release, namespace=namespace)


def objects(name: str, values: Mapping[str, Any] | None = None, *, release: str = "one") -> list[Object]:
    """Return all objects that the chart renders."""
    texts = manifests(name, values, release=release)
    parsed = (yaml.safe_load_all(text) for path, text in sorted(texts.items()) if not path.endswith("NOTES.txt"))
    return [each for documents in parsed for each in documents if each]


def notes(name: str, values: Mapping[str, Any] | None = None, *, release: str = "one") -> str:
    """Return what NOTES.txt prints."""
    return manifests(name, values, release=release)[f"{name}/templates/NOTES.txt"]


def case(name: str, file: str) -> dict[str, Any]:
    """Return the values of a ci case."""
    return yaml.safe_load((CHARTS / name / "ci" / file).read_text()) or {}


def of_kind(kind: str, found: list[Object]) -> list[Object]:
    return [each for each in found if each["kind"] == kind]


def the(kind: str, found: list[Object], suffix: str = "") -> Object:
    """Return the only object of the kind, among those whose name has the suffix."""
    (each,) = (each for each in of_kind(kind, found) if each["metadata"]["name"].endswith(suffix))
    return each


def nested(*path: str, value: Any) -> dict[str, Any]:
    """Return a map of maps that has the value at a path."""
    for key in reversed(path):
        value = {key: value}
    return value


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the layers merged as Helm merges values files."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
            result[key] = merged(result[key], value) if both else value
    return result
