"""Files of a chart that are written from its specification: values.yaml, README.md and templates/_service.tpl."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any

import yaml

from scripts.charts.spec import CHARTS, SERVICE_CHARTS, Chart, Leaf, Tree, leaves

_WRITTEN = "Written by scripts/gen_charts.py (`make docs`) from deploy/helm/chassis/spec; edits here are lost."
_WIDTH = 118


def values_page(tree: Tree, heading: str) -> str:
    """Return values.yaml: each value under its description, as helm-docs reads them."""
    return f"# {_WRITTEN}\n# {heading}\n" + "".join(_values(tree, 0))


def _values(tree: Tree, depth: int) -> Iterator[str]:
    pad = "  " * depth
    for name, node in tree.items():
        if name == "_":
            continue
        description = node.description if isinstance(node, Leaf) else node.get("_", "")
        if depth == 0:
            yield "\n"
        if description:
            mark = "# -- " if isinstance(node, Leaf) else "# "
            lines = textwrap.wrap(mark + description, _WIDTH - len(pad), subsequent_indent="# ", break_on_hyphens=False)
            yield "".join(f"{pad}{line}\n" for line in lines)
        if isinstance(node, Leaf):
            yield textwrap.indent(_dumped({name: node.default}), pad)
        else:
            yield f"{pad}{name}:\n"
            yield from _values(node, depth + 1)


def _dumped(value: Any) -> str:
    text = yaml.safe_dump(value, sort_keys=False, width=10_000, allow_unicode=True)
    return text.replace(": null\n", ":\n")


def values_table(tree: Tree) -> str:
    """Return the table of values in Markdown."""
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for path, leaf in leaves(tree):
        default = "" if leaf.default in (None, "") else f"`{_json(leaf.default)}`"
        rows.append(f"| `{'.'.join(path)}` | {default} | {_cell(leaf.description)} |")
    return "\n".join(rows) + "\n"


def _json(value: Any) -> str:
    return _cell(json.dumps(value, ensure_ascii=False)) if not isinstance(value, str) else _cell(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def readme(chart: Chart) -> str:
    """Return README.md of a service's chart."""
    text = (CHARTS / "chassis" / "spec" / "README.template.md").read_text(encoding="utf-8")
    secrets = ", ".join(f"`{name}`" for name in chart.secrets_of_chart)
    calls = ", ".join(noun.replace("_", "-") for noun in chart.service.calls) or "no other service"
    return (
        text.replace("NAME", chart.name)
        .replace("DESCRIPTION", str(chart.source["description"]))
        .replace("CALLS", calls)
        .replace("SECRETS", secrets)
        .replace("METRIC", str(chart.source["defaults"]["autoscaling.metric.name"]))
        .replace("VALUES\n", values_table(chart.values()))
        .replace("WRITTEN", _WRITTEN)
    )


def umbrella_readme(tree: Tree) -> str:
    """Return README.md of the umbrella."""
    text = (CHARTS / "chassis" / "spec" / "README.umbrella.md").read_text(encoding="utf-8")
    charts = "\n".join(f"| `{name}` | [README](../{name}/README.md) |" for name in SERVICE_CHARTS)
    return text.replace("CHARTS\n", f"{charts}\n").replace("VALUES\n", values_table(tree)).replace("WRITTEN", _WRITTEN)


def service_template(chart: Chart) -> str:
    """Return templates/_service.tpl: what the library's templates need to know of the service."""
    facts = {
        "noun": chart.service.noun,
        "calls": list(chart.service.calls),
        "callers": list(chart.callers),
        "http": chart.service.http,
        "journal": chart.service.records_costs,
        "secrets": list(chart.secrets),
        "needed": list(chart.source.get("needed", [])),
        "settings": list(chart.settings),
        "drain": chart.source["drain"],
        "reloadedFile": chart.source.get("reloadedFile", ""),
    }
    query = str(chart.source["kedaQuery"])
    body = yaml.safe_dump(facts, sort_keys=False, width=100)
    return (
        f"{{{{/* {_WRITTEN} */}}}}\n"
        f'{{{{- define "{chart.name}.service" -}}}}\n{body}'
        f"kedaQuery: {{{{ {json.dumps(query)} | quote }}}}\n{{{{- end }}}}\n"
    )
