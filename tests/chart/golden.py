"""Rendered charts, kept in tests/chart/golden so that a change of a template shows what it changes.

`python -m tests.chart.golden` (`make golden`) writes them.
"""

from __future__ import annotations

from pathlib import Path

from tests.chart import helm

FOLDER = Path(__file__).parent / "golden"
CASES = [*((name, "secrets-values.yaml") for name in helm.SERVICES), ("hocket", "minimal-values.yaml")]


def path(name: str, file: str) -> Path:
    return FOLDER / f"{name}-{file.removesuffix('-values.yaml')}.yaml"


def text(name: str, file: str) -> str:
    """Return all objects that the chart renders, as `helm template` prints them."""
    lines = []
    for template, body in sorted(helm.manifests(name, helm.case(name, file)).items()):
        # The notes of dependencies are rendered or not, depending on the order of a map.
        if body.strip() and not template.endswith("NOTES.txt"):
            lines += ["---", f"# Source: {template}", *body.strip().removeprefix("---").strip().splitlines()]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def main() -> None:
    """Write all golden files."""
    FOLDER.mkdir(exist_ok=True)
    for name, file in CASES:
        path(name, file).write_text(text(name, file), encoding="utf-8")


if __name__ == "__main__":
    main()
