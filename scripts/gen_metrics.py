"""Write docs/metrics.md from the metrics that the code declares; --check fails when it is stale."""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "metrics.md"
TYPES = {
    "Counter": "counter",
    "Gauge": "gauge",
    "Histogram": "histogram",
    "LatencyHistogram": "histogram",
    "Summary": "summary",
}
EVERY_SERVICE = "Every service"
INTRODUCTION = """\
Prometheus reads them from `/metrics` on the operations port. A counter's name ends in `_total` on the wire, a
histogram adds `_bucket`, `_sum` and `_count`. Labels have few values: a tenant's tier, never its id.
[operations.md](operations.md) says which to watch.
"""
OTEL_INTRODUCTION = """\
Exported over OTLP where `HOCKET_<SERVICE>_OTLP_ENDPOINT` is set, named after OpenTelemetry's semantic conventions
for generative AI.
"""


class Metric(NamedTuple):
    """One declared metric."""

    owner: str
    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


def main() -> None:
    """Write the page, or with --check compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when the page is stale, write nothing")
    check: bool = parser.parse_args().check
    text = page()
    if not check:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        sys.exit("stale, run `make docs`: docs/metrics.md")


def page() -> str:
    """Return docs/metrics.md."""
    found = sorted(metric for folder in ("hocket", "services") for path in modules(folder) for metric in declared(path))
    owners = [EVERY_SERVICE, *sorted({metric.owner for metric in found} - {EVERY_SERVICE})]
    lines = ["# Metrics\n", "<!-- Written by scripts/gen_metrics.py (`make docs`); edits here are lost. -->\n"]
    lines.append(INTRODUCTION)
    for owner in owners:
        lines += [f"## {owner}\n", *table(m for m in found if m.owner == owner and m.kind != "otel"), ""]
        if otel := [m for m in found if m.owner == owner and m.kind == "otel"]:
            lines += [OTEL_INTRODUCTION, *table(iter(otel)), ""]
    return "\n".join(lines)


def table(metrics: Iterator[Metric]) -> Iterator[str]:
    """Yield the rows of a table of metrics."""
    yield from ("| metric | type | labels | meaning |", "|---|---|---|---|")
    for metric in metrics:
        kind = "histogram" if metric.kind == "otel" else metric.kind
        yield f"| `{metric.name}` | {kind} | {', '.join(f'`{x}`' for x in metric.labels)} | {metric.meaning} |"


def modules(folder: str) -> Iterator[Path]:
    """Yield the modules below `folder` that may declare metrics."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "prometheus_client import" in text or "create_histogram" in text:
            yield path


def declared(path: Path) -> Iterator[Metric]:
    """Yield the metrics that the module at `path` declares."""
    parts = path.relative_to(ROOT).parts
    owner = parts[1] if parts[0] == "services" else EVERY_SERVICE
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in TYPES and len(node.args) > 1:
            labels = next((k.value for k in node.keywords if k.arg == "labelnames"), None)
            labels = node.args[2] if len(node.args) > 2 else labels
            kind = TYPES[node.func.id]
            name = text_of(node.args[0]) + ("_total" if kind == "counter" else "")
            yield Metric(owner, name, kind, tuple(texts_of(labels)), text_of(node.args[1]))
        elif isinstance(node.func, ast.Attribute) and node.func.attr == "create_histogram":
            name, unit, meaning = (text_of(argument) for argument in node.args)
            yield Metric(owner, name, "otel", (), f"{meaning} Unit: `{unit}`.")


def text_of(node: ast.expr) -> str:
    """Return a string literal; the only computed part is the prefix of the RPC metrics."""
    if isinstance(node, ast.Constant):
        return str(node.value).replace("|", "\\|")
    if isinstance(node, ast.JoinedStr):
        return "".join("hocket_<service>_rpc" if isinstance(p, ast.FormattedValue) else text_of(p) for p in node.values)
    return f"`{ast.unparse(node)}`"


def texts_of(node: ast.expr | None) -> Iterator[str]:
    """Yield the literals of a list or tuple."""
    if isinstance(node, ast.List | ast.Tuple):
        yield from map(text_of, node.elts)


if __name__ == "__main__":
    main()
