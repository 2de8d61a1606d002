"""JSON schema of a chart's values: closed at every level, with the types of the Kubernetes API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, cast

from scripts.charts.spec import SERVICE_CHARTS, Chart, Leaf, Tree, chart_of, umbrella_values

KUBERNETES_VERSION = "1.36.0"
_PREFIX = "io.k8s."
_DIALECT = "http://json-schema.org/draft-07/schema#"
_SECRET_REF = {
    "type": "object",
    "required": ["name", "key"],
    "properties": {"name": {"type": "string", "minLength": 1}, "key": {"type": "string", "minLength": 1}},
    "additionalProperties": False,
}
_REMOTE_REF = {
    "type": "object",
    "required": ["key"],
    "properties": {name: {"type": "string"} for name in ("key", "property", "version")},
    "additionalProperties": False,
}


def chart_schema(chart: Chart) -> dict[str, Any]:
    """Return values.schema.json of a service's chart."""
    root = _object_schema(chart.values(), chart)
    root["properties"] |= {
        "global": {
            "type": "object",
            "description": "Values that charts share. Those of other charts are accepted; the umbrella checks its own.",
        },
        "enabled": {"type": "boolean", "description": "Condition of an umbrella chart."},
        "chassis": {
            "type": "object",
            "description": "Values of the library chart, which has none.",
            "maxProperties": 1,
        },
    }
    return _document(f"Values of {chart.name}", root)


def umbrella_schema() -> dict[str, Any]:
    """Return values.schema.json of the umbrella: its own values, and the names of those of each chart."""
    root = _object_schema(umbrella_values(), None)
    for name in SERVICE_CHARTS:
        known = [*chart_of(name).values(), "enabled", "global", "chassis"]
        root["properties"][name] = {
            "type": "object",
            "description": f"Values of the chart {name}, which checks them.",
            "properties": {key: {} for key in known},
            "additionalProperties": False,
        }
    root["properties"]["chassis"] = {"type": "object", "description": "Values of the library chart, which has none."}
    return _document("Values of hocket", root)


def _document(title: str, root: dict[str, Any]) -> dict[str, Any]:
    document = {"$schema": _DIALECT, "title": title, **root}
    names = set[str]()
    _collect(document, names)
    if names:
        document["definitions"] = {name: _definitions()[name] for name in sorted(names)}
    return document


def _object_schema(tree: Tree, chart: Chart | None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    if "_" in tree:
        schema["description"] = tree["_"]
    schema["properties"] = {
        name: _leaf_schema(node, chart) if isinstance(node, Leaf) else _object_schema(node, chart)
        for name, node in tree.items()
        if name != "_"
    }
    return schema | {"additionalProperties": False}


def _leaf_schema(leaf: Leaf, chart: Chart | None) -> dict[str, Any]:
    schema = cast(
        "dict[str, Any]", _resolved(leaf.schema if leaf.schema is not None else _derived(leaf.default), chart)
    )
    if "$ref" in schema:
        # Beside a $ref, draft 7 ignores other keywords.
        return {"description": leaf.description, "allOf": [schema]}
    return {"description": leaf.description, **schema}


def _derived(default: Any) -> dict[str, Any]:
    if isinstance(default, bool):
        return {"type": "boolean"}
    if isinstance(default, int):
        return {"type": "integer", "minimum": 0}
    if isinstance(default, str):
        return {"type": "string"}
    raise TypeError(f"a default of {default!r} needs a schema")


def _resolved(node: Any, chart: Chart | None) -> Any:
    """Replace {$k8s: NAME} and {$settings: KIND} by schemas."""
    if isinstance(node, list):
        return [_resolved(each, chart) for each in _items(node)]
    if not isinstance(node, Mapping):
        return node
    known = cast("Mapping[str, Any]", node)
    if "$k8s" in known:
        return {"$ref": f"#/definitions/api.{known['$k8s']}"}
    if "$settings" in known:
        return _settings_schema(known["$settings"], chart)
    return {key: _resolved(value, chart) for key, value in known.items()}


def _settings_schema(kind: str, chart: Chart | None) -> dict[str, Any]:
    charts = [chart] if chart else [chart_of(name) for name in SERVICE_CHARTS]
    properties: dict[str, Any] = {}
    for each in charts:
        if kind == "setting":
            properties = {name: _setting(each, name) for name in each.settings} | properties
        else:
            schema = {"secret": {"type": "string"}, "secretRef": _SECRET_REF, "remoteRef": _REMOTE_REF}[kind]
            properties |= dict.fromkeys(each.secrets_of_chart, schema)
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _setting(chart: Chart, name: str) -> dict[str, Any]:
    """Schema of a setting, from its field; null leaves the service's default."""
    declared = dict(chart.settings_type.model_json_schema()["properties"][name])
    for keyword in ("title", "default", "format", "writeOnly"):
        declared.pop(keyword, None)
    for variant in declared.pop("anyOf", ()):
        if variant.get("type") != "null":
            declared |= {k: v for k, v in variant.items() if k not in {"format", "writeOnly"}}
    if "type" in declared:
        declared["type"] = [declared["type"], "null"]
    if "enum" in declared:
        declared["enum"] = [*declared["enum"], None]
    return declared


@cache
def _definitions() -> dict[str, Any]:
    """Types of the Kubernetes API by name, without descriptions; each is closed."""
    folder = resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"v{KUBERNETES_VERSION}-local-strict"
    raw = json.loads((folder / "_definitions.json").read_text(encoding="utf-8"))["$defs"]
    return {name.removeprefix(_PREFIX): _plain(schema) for name, schema in raw.items()}


def _plain(node: Any) -> Any:
    if isinstance(node, list):
        return [_plain(each) for each in _items(node)]
    if not isinstance(node, dict):
        return node
    known = cast("dict[str, Any]", node)
    if isinstance(known.get("$ref"), str):
        return {"$ref": "#/definitions/" + known["$ref"].rsplit("/", 1)[1].removeprefix(_PREFIX)}
    kept = {k: v for k, v in known.items() if not k.startswith("x-")}
    if isinstance(kept.get("description"), str):
        del kept["description"]
    return {key: _plain(value) for key, value in kept.items()}


def _items(node: Any) -> Sequence[Any]:
    """Return the items of a list, or none of anything else."""
    return cast("Sequence[Any]", node) if isinstance(node, list) else ()


def _collect(node: Any, names: set[str]) -> None:
    """Add the names of all definitions that `node` needs."""
    children: Iterable[Any] = _items(node)
    if isinstance(node, dict):
        known = cast("dict[str, Any]", node)
        found = re.fullmatch(r"#/definitions/(.+)", str(known.get("$ref", "")))
        if found and found[1] not in names:
            names.add(found[1])
            _collect(_definitions()[found[1]], names)
        children = known.values()
    for child in children:
        _collect(child, names)
