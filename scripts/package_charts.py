"""Lint every Helm chart strictly and package it into dist/, with its dependencies inside."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from helm_python.chart import lint, package

from scripts.charts.packages import vendored
from scripts.charts.spec import SERVICE_CHARTS, UMBRELLA
from scripts.lock_file import ROOT

APPLICATIONS = (*SERVICE_CHARTS, UMBRELLA)
_ERROR_OR_WARNING = 2
_OLDEST, _NEWEST = "v1.29.0", "v1.36.0"


def main() -> None:
    """Lint, and without --check package; exit with a line for each finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="lint only")
    check: bool = parser.parse_args().check
    wrong = [line for name in APPLICATIONS for line in problems(name)]
    if wrong:
        sys.exit("charts:\n  " + "\n  ".join(wrong))
    for path in () if check else package_all(ROOT / "dist"):
        print(f"  {path.relative_to(ROOT)}")


def problems(name: str) -> Iterator[str]:
    """Yield what `helm lint --strict` says of a chart, on the oldest and the newest supported Kubernetes."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = vendored(name, Path(scratch) / name)
        for version in (_OLDEST, _NEWEST):
            report = lint(folder, {}, strict=True, kube_version=version)
            yield from (f"{name}: {text}" for text in report["errors"])
            yield from (f"{name}: {m['error']}" for m in report["messages"] if m["severity"] >= _ERROR_OR_WARNING)


def package_all(destination: Path, version: str | None = None) -> Iterator[Path]:
    """Package every application chart.

    Args:
        destination: folder of the archives.
        version: version of charts and images; None keeps the one in Chart.yaml.

    Yields:
        Each archive.
    """
    destination.mkdir(parents=True, exist_ok=True)
    for name in APPLICATIONS:
        with tempfile.TemporaryDirectory() as scratch:
            folder = vendored(name, Path(scratch) / name)
            yield Path(package(folder, destination=destination, version=version, app_version=version))


if __name__ == "__main__":
    main()
