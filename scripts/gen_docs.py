"""Write docs/config.md and docs/errors.md from the code they describe; --check fails where they are stale."""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from hocket.chassis.settings import ServerSettings
from local import topology
from local.settings import Settings as LocalSettings

ROOT = Path(__file__).resolve().parent.parent
REASONS = ROOT / "protos" / "hocket" / "errors" / "v1" / "reason.proto"
GENERATED = "<!-- Written by scripts/gen_docs.py (`make docs`); edits here are lost. -->\n"
CONFIG_INTRODUCTION = (
    "All settings are environment variables. A secret may also come from a file: set `<NAME>_FILE` to its path."
    " `hocket-<service> --check-config` reads them and says what is wrong.\n"
)
ERRORS_INTRODUCTION = (
    "An error carries a gRPC code and `google.rpc.ErrorInfo`: `reason` below, `domain` `hocket.<service>`, and"
    " metadata, where a key names its unit. `BadRequest` names wrong fields, `RetryInfo` holds the earliest time"
    " of a retry. Python clients raise the class of `hocket.chassis.errors` that has the code, with the same fields."
    " An error that a proxy raised carries no `ErrorInfo`; the class then names the usual reason of its code.\n"
)
# How the bounds of a field are written, by the attribute that holds them.
BOUNDS = {
    "ge": "≥ {}",
    "gt": "> {}",
    "le": "≤ {}",
    "lt": "< {}",
    "min_length": "{} or more long",
    "max_length": "at most {} long",
}
_REASON = re.compile(r"\s*REASON_(\w+) = \d+;")
_ENTRY = re.compile(r"(?P<meaning>.+)\. Remedy: (?P<remedy>.+)\. Code: (?P<code>[A-Z_]+)\.")


def config_page() -> str:
    """Every setting of every service, as Markdown."""
    shared = set(ServerSettings.model_fields)
    parts = [
        "# Settings\n",
        GENERATED,
        CONFIG_INTRODUCTION,
        "## Every service\n",
        "`<SERVICE>` is the service's own name, as in `HOCKET_RAG_GRPC_PORT`.\n",
        table(ServerSettings, "HOCKET_<SERVICE>_", shared),
    ]
    for noun in sorted(topology.NOUNS):
        settings = importlib.import_module(f"services.{noun}.settings").Settings
        own = {name for name in settings.model_fields if differs(settings, name)}
        parts += [f"## {noun}\n", table(settings, topology.find_service(noun).prefix, own)]
        if topology.find_service(noun).migration_argv:
            migration = importlib.import_module(f"services.{noun}.settings").MigrationSettings
            prefix, own = topology.find_service(noun).prefix, set(migration.model_fields)
            parts += [f"Read by `hocket-{noun.replace('_', '-')} migrate` alone:\n", table(migration, prefix, own)]
    parts += [
        "## hocket-local\n",
        "The whole mesh on one machine.\n",
        table(LocalSettings, "HOCKET_LOCAL_", set(LocalSettings.model_fields)),
        "These replace embedded servers: " + ", ".join(f"`{v}`" for v in topology.SERVER_VARIABLES) + ".\n",
        "These are handed to the service that uses them:\n",
        "| variable | service | as |\n|---|---|---|",
        *(
            f"| `{variable}` | {noun} | `{topology.find_service(noun).prefix}{setting}` |"
            for variable, (noun, setting) in topology.VENDOR_VARIABLES.items()
        ),
        "",
    ]
    return "\n".join(parts)


def differs(settings: type[BaseSettings], name: str) -> bool:
    """Whether a service's field is its own, or a shared one with another default."""
    shared = ServerSettings.model_fields.get(name)
    return shared is None or shared.default != settings.model_fields[name].default


def table(settings: type[BaseSettings], prefix: str, names: set[str]) -> str:
    """Name, default, range and meaning of the fields `names`."""
    rows = ["| variable | default | range | meaning |", "|---|---|---|---|"]
    rows += [
        f"| `{prefix}{name.upper()}` | {default_of(field)} | {range_of(field)} | {cell(field.description or '')} |"
        for name, field in settings.model_fields.items()
        if name in names
    ]
    return "\n".join(rows) + "\n"


def default_of(field: FieldInfo) -> str:
    """The default as one would write it in the environment."""
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=False)
    if default is None or default == "":
        return ""
    if isinstance(default, SecretStr):
        return "(secret)"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{cell(str(default))}`"


def range_of(field: FieldInfo) -> str:
    """The bounds that the value must keep, or the values it may have."""
    if "Literal" in str(get_origin(field.annotation)):
        return ", ".join(f"`{value}`" for value in get_args(field.annotation))
    limits = ((name, getattr(item, name, None)) for item in field.metadata for name in BOUNDS)
    return ", ".join(BOUNDS[name].format(limit) for name, limit in limits if limit is not None)


def cell(text: str) -> str:
    """Text that does not break a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def errors_page() -> str:
    """Every reason of the mesh with its code and its remedy, as Markdown."""
    rows = ["| reason | code | meaning | remedy |", "|---|---|---|---|"]
    rows += [
        f"| `{reason}` | `{code}` | {cell(meaning)} | {cell(remedy)} |"
        for reason, code, meaning, remedy in reasons(REASONS.read_text(encoding="utf-8"))
    ]
    return "\n".join(("# Errors\n", GENERATED, ERRORS_INTRODUCTION, *rows, ""))


def reasons(proto: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield (reason, gRPC code, meaning, remedy) of each value of the enum that is ever sent.

    Raises:
        SystemExit: A value's comment is not of the form "Meaning. Remedy: what to do. Code: GRPC_CODE."
    """
    comment: list[str] = []
    for line in proto.splitlines():
        found = _REASON.match(line)
        if found and found[1] != "UNSPECIFIED":
            entry = _ENTRY.fullmatch(" ".join(comment))
            if entry is None:
                sys.exit(f"{REASONS}: REASON_{found[1]} needs the comment 'Meaning. Remedy: … . Code: … .'")
            remedy = entry["remedy"]
            yield found[1], entry["code"], f"{entry['meaning']}.", f"{remedy[0].upper()}{remedy[1:]}."
        comment = [*comment, line.strip().removeprefix("//").strip()] if line.strip().startswith("//") else []


def main() -> None:
    """Write both pages, or with --check compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when a page is stale, write nothing")
    check = parser.parse_args().check
    stale: list[str] = []
    for name, page in (("config.md", config_page()), ("errors.md", errors_page())):
        path = ROOT / "docs" / name
        if not check:
            path.write_text(page, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != page:
            stale.append(f"docs/{name}")
    if stale:
        sys.exit(f"stale, run `make docs`: {', '.join(stale)}")


if __name__ == "__main__":
    main()
