"""Specification of a chart's values: deploy/helm/chassis/spec, the topology, and the Settings class of the service."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import yaml
from pydantic import SecretStr

from hocket.chassis.settings import ServerSettings
from local.topology import SERVICES, Service, find_service
from scripts.lock_file import ROOT

CHARTS = ROOT / "deploy" / "helm"
SPEC = CHARTS / "chassis" / "spec"
SERVICE_CHARTS = tuple(service.noun.replace("_", "-") for service in SERVICES)
UMBRELLA = "hocket"
MIGRATION_SECRET = "postgres_migration_url"  # noqa: S105 - the name of a setting

# Settings that values of the chart decide.
_MANAGED = {
    *("grpc_host", "grpc_port", "ops_host", "ops_port", "http_host", "http_port"),
    *("jwks_file", "tls_cert_file", "tls_key_file", "tls_client_ca_file", "peer_ca_file", "peer_cert_file"),
    *("peer_key_file", "mesh_key_file", "cost_journal_file", "deletion_cost_pod"),
}
# Settings without SecretStr that an operator keeps beside a secret.
_ALSO_SECRET = {"livekit_api_key"}

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value.

    Attributes:
        default: its default.
        description: one sentence or more, Markdown.
        schema: JSON schema; None derives it from the default.
    """

    default: Any
    description: str
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """Specification of a service's chart.

    Attributes:
        name: name of chart, image and extra, for instance "llm-router".
        service: its declaration in the topology.
        settings_type: Settings class of the service.
        source: content of its specification file.
    """

    name: str
    service: Service
    settings_type: type[ServerSettings]
    source: Mapping[str, Any]

    @property
    def files(self) -> Sequence[str]:
        """Settings that name a file whose content is a value of the chart."""
        return tuple(self.source.get("files", ()))

    @property
    def secrets(self) -> Sequence[str]:
        """Secret settings of the serving process."""
        fields = self.settings_type.model_fields.items()
        names = [n for n, field in fields if SecretStr in _types(field.annotation) or n in _ALSO_SECRET]
        return [name for name in names if name != MIGRATION_SECRET]

    @property
    def secrets_of_chart(self) -> Sequence[str]:
        """Secret settings of the serving process and of the migration."""
        return [*self.secrets, *([MIGRATION_SECRET] if "postgres" in self.service.servers else [])]

    @property
    def settings(self) -> Sequence[str]:
        """Settings that `settings` of the chart may have."""
        left_out = _MANAGED | set(self.files) | set(self.secrets_of_chart)
        names = [n for n in self.settings_type.model_fields if n not in left_out]
        return [name for name in names if not name.endswith("_target")]

    @property
    def callers(self) -> Sequence[str]:
        """Charts of the services that call this one."""
        return [s.noun.replace("_", "-") for s in SERVICES if self.service.noun in s.calls]

    def values(self) -> Tree:
        """Return the tree of values: maps of maps, with a Leaf at each end and the description of a map at `_`."""
        tree = _tree(_load("common"))
        for part in ["calls"] * bool(self.service.calls) + list(self.source["parts"]):
            _graft(tree, _tree(_load("parts")[part]))
        if self.service.calls:
            tree["targets"] |= {noun: Leaf("", f"Target of {noun}.", {"type": "string"}) for noun in self.service.calls}
        _graft(tree, _tree(self.source.get("values", {})))
        if self.files:
            tree["files"] = {"_": "Contents of files that settings name."} | {
                name: Leaf("", self.settings_type.model_fields[name].description or "", {"type": "string"})
                for name in self.files
            }
        for path, default in self.source["defaults"].items():
            if path != "settings":
                _set_default(tree, path.split("."), default)
        tree["settings"] = Leaf(
            self.source["defaults"]["settings"],
            "Settings of the service by name, without prefix; docs/config.md lists them. "
            f"`{self.settings[0]}: …` becomes `{self.service.prefix}{self.settings[0].upper()}`.",
            {"$settings": "setting"},
        )
        return tree


def chart_of(name: str) -> Chart:
    """Return the specification of a service's chart, for instance of "llm-router"."""
    noun = name.replace("-", "_")
    settings_type = importlib.import_module(f"services.{noun}.settings").Settings
    return Chart(name, find_service(noun), settings_type, _load(name))


def leaves(tree: Tree, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Leaf]]:
    """Yield each value with its path, in order."""
    for name, node in tree.items():
        if isinstance(node, Leaf):
            yield (*path, name), node
        elif name != "_":
            yield from leaves(node, (*path, name))


def umbrella_values() -> Tree:
    """Return the tree of values of the umbrella's own keys; those of its charts are theirs."""
    return _tree(_load(UMBRELLA)["values"])


def umbrella_source() -> Mapping[str, Any]:
    """Return the content of the umbrella's specification."""
    return _load(UMBRELLA)


@cache
def _load(name: str) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", yaml.safe_load((SPEC / f"{name}.yaml").read_text(encoding="utf-8")))


def _tree(source: Mapping[str, Any]) -> Tree:
    def grown(node: Any) -> Any:
        return _tree(cast("Mapping[str, Any]", node)) if isinstance(node, dict) else Leaf(*node)

    return {name: node if name == "_" else grown(node) for name, node in source.items()}


def _graft(tree: Tree, branch: Tree) -> None:
    for name, node in branch.items():
        if isinstance(node, dict) and name in tree:
            _graft(tree[name], cast("Tree", node))
        else:
            tree[name] = node


def _set_default(tree: Tree, path: Sequence[str], default: Any) -> None:
    node = tree
    for name in path[:-1]:
        node = node[name]
    leaf: Leaf = node[path[-1]]
    node[path[-1]] = Leaf(deepcopy(default), leaf.description, leaf.schema)


def _types(annotation: Any) -> set[Any]:
    return {annotation, *(t for part in getattr(annotation, "__args__", ()) for t in _types(part))}
