"""Write values.yaml, values.schema.json, README.md and templates/_service.tpl of each chart; --check compares them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.charts.pages import readme, service_template, umbrella_readme, values_page
from scripts.charts.schema import chart_schema, umbrella_schema
from scripts.charts.spec import CHARTS, SERVICE_CHARTS, SPEC, UMBRELLA, chart_of, umbrella_values


def main() -> None:
    """Write the files, or with --check exit with those that are stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a file is stale")
    check: bool = parser.parse_args().check
    stale = [path for path, text in pages() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if check and stale:
        sys.exit("stale: " + ", ".join(str(path.relative_to(CHARTS)) for path in stale) + "; run make docs")
    for path, text in pages():
        if path in stale:
            path.write_text(text, encoding="utf-8")


def pages() -> Iterator[tuple[Path, str]]:
    """Yield each generated file with its content."""
    for name in SERVICE_CHARTS:
        if not (SPEC / f"{name}.yaml").exists():
            continue
        chart, folder = chart_of(name), CHARTS / name
        yield folder / "values.yaml", values_page(chart.values(), f"Values of the chart {name}.")
        yield folder / "values.schema.json", _json(chart_schema(chart))
        yield folder / "README.md", readme(chart)
        yield folder / "templates" / "_service.tpl", service_template(chart)
    if (SPEC / f"{UMBRELLA}.yaml").exists():
        tree, folder = umbrella_values(), CHARTS / UMBRELLA
        yield folder / "values.yaml", values_page(tree, "Values of the umbrella chart.")
        yield folder / "values.schema.json", _json(umbrella_schema())
        yield folder / "README.md", umbrella_readme(tree)


def _json(schema: dict[str, Any]) -> str:
    """Return the schema with one definition per line: they come from Kubernetes and are not read."""
    own = json.dumps({k: v for k, v in schema.items() if k != "definitions"}, ensure_ascii=False, indent=1)
    lines = [
        f"  {json.dumps(name)}: {json.dumps(each, ensure_ascii=False, separators=(',', ':'))}"
        for name, each in schema.get("definitions", {}).items()
    ]
    return own.removesuffix("\n}") + ',\n "definitions": {\n' + ",\n".join(lines) + "\n }\n}\n"


if __name__ == "__main__":
    main()
