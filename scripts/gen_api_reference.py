"""Write docs/api/ from the comments of protos/; --check fails where a page is stale."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from google.protobuf import descriptor_pb2 as pb

from scripts.gen_protos import PROTOS, ROOT, WELL_KNOWN, protoc

OUT = ROOT / "docs" / "api"
GENERATED = "<!-- Written by scripts/gen_api_reference.py (`make docs`); edits here are lost. -->\n"
INTRODUCTION = """\
Every RPC, message and enum of the mesh, from the comments of `protos/`. Fields are optional unless their text says
otherwise; an unset number is 0, an unset text is empty, an unset enum is `UNSPECIFIED`. Errors are in
[errors.md](../errors.md).
"""
# Numbers of the fields of descriptor.proto, which make up the paths of comments.
_FILE_MESSAGE, _FILE_ENUM, _FILE_SERVICE, _FILE_PACKAGE = 4, 5, 6, 2
_MESSAGE_FIELD, _MESSAGE_NESTED, _MESSAGE_ENUM = 2, 3, 4
_ENUM_VALUE, _SERVICE_METHOD = 2, 2
_SCALARS = {
    number: name.removeprefix("TYPE_").lower()
    for name, number in pb.FieldDescriptorProto.Type.items()
    if name not in {"TYPE_MESSAGE", "TYPE_ENUM", "TYPE_GROUP"}
}

Position: TypeAlias = tuple[int, ...]


class ProtoFile:
    """One .proto file with its comments."""

    def __init__(self, descriptor: pb.FileDescriptorProto) -> None:
        """Index the comments of `descriptor` by their path."""
        self.descriptor = descriptor
        self._comments = {tuple(at.path): at.leading_comments for at in descriptor.source_code_info.location}

    def comment(self, at: Position) -> str:
        """Return the comment of the declaration at `at` as paragraphs without line breaks."""
        paragraphs = re.split(r"\n\s*\n", self._comments.get(at, ""))
        lines = (" ".join(part.split()) for part in paragraphs)
        return "\n\n".join(line.replace("<", "&lt;") for line in lines if line)


def main() -> None:
    """Write the pages, or with --check compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when a page is stale, write nothing")
    check: bool = parser.parse_args().check
    wanted = pages(read_protos())
    kept = {path.name: path.read_text(encoding="utf-8") for path in OUT.glob("*.md")}
    if not check:
        OUT.mkdir(exist_ok=True)
        for name in kept.keys() - wanted.keys():
            (OUT / name).unlink()
        for name, text in wanted.items():
            (OUT / name).write_text(text, encoding="utf-8")
    elif stale := sorted(name for name in kept.keys() | wanted.keys() if kept.get(name) != wanted.get(name)):
        sys.exit(f"stale, run `make docs`: {', '.join(f'docs/api/{name}' for name in stale)}")


def read_protos() -> list[ProtoFile]:
    """Return every file below protos/, by name."""
    sources = sorted(str(path) for path in PROTOS.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch, "descriptors")
        includes = (f"-I{PROTOS}", f"-I{WELL_KNOWN}")
        if protoc(["protoc", *includes, "--include_source_info", f"--descriptor_set_out={out}", *sources]) != 0:
            raise SystemExit("protoc failed")
        return [ProtoFile(file) for file in pb.FileDescriptorSet.FromString(out.read_bytes()).file]


def page_of(package: str) -> str:
    """Return the page that documents `package`: its noun, or "envoy"."""
    first, second = package.split(".")[:2]
    return f"{second if first == 'hocket' else first}.md"


def pages(files: Sequence[ProtoFile]) -> dict[str, str]:
    """Return the text of each page by its file name."""
    by_page: dict[str, list[ProtoFile]] = {}
    for file in files:
        by_page.setdefault(page_of(file.descriptor.package), []).append(file)
    written = {name: "\n".join(lines_of_page(name, parts)) for name, parts in sorted(by_page.items())}
    return {"index.md": "\n".join(lines_of_index(by_page)), **written}


def lines_of_index(by_page: dict[str, list[ProtoFile]]) -> Iterator[str]:
    """Yield the overview: each RPC with the first sentence of its comment."""
    yield from ("# API reference\n", GENERATED, INTRODUCTION)
    for name, files in sorted(by_page.items()):
        yield f"## [{name.removesuffix('.md')}]({name})\n"
        rows = [row for file in files for row in index_rows(name, file)]
        yield from ("| RPC | does |", "|---|---|", *rows, "") if rows else ("Messages and enums only.\n",)


def index_rows(page: str, file: ProtoFile) -> Iterator[str]:
    """Yield a row for each RPC of `file`."""
    for i, service in enumerate(file.descriptor.service):
        for j, method in enumerate(service.method):
            text = file.comment((_FILE_SERVICE, i, _SERVICE_METHOD, j)).split("\n\n")[0].partition(". ")[0].rstrip(".")
            anchor = f"{page}#{slug(f'{service.name}.{method.name}')}"
            yield f"| [`{service.name}.{method.name}`]({anchor}) | {cell(text)}. |"


def lines_of_page(name: str, files: Sequence[ProtoFile]) -> Iterator[str]:
    """Yield the page of the packages in `files`: services, then messages, then enums."""
    yield from (f"# {name.removesuffix('.md')}\n", GENERATED)
    for file in files:
        package = file.descriptor.package
        yield f"Package `{package}`, `protos/{file.descriptor.name}`. {file.comment((_FILE_PACKAGE,))}\n"
    for file in files:
        yield from lines_of_services(name, file)
    messages = [line for file in files for line in lines_of_messages(name, file)]
    enums = [line for file in files for line in lines_of_enums(file)]
    yield from ("## Messages\n", *messages) if messages else ()
    yield from ("## Enums\n", *enums) if enums else ()


def lines_of_services(page: str, file: ProtoFile) -> Iterator[str]:
    """Yield each service with its methods."""
    for i, service in enumerate(file.descriptor.service):
        yield from (f"## {service.name}\n", f"{file.comment((_FILE_SERVICE, i))}\n")
        for j, method in enumerate(service.method):
            taken = streamed(linked(page, method.input_type), stream=method.client_streaming)
            given = streamed(linked(page, method.output_type), stream=method.server_streaming)
            yield from (f"### {service.name}.{method.name}\n", f"{taken} → {given}\n")
            yield f"{file.comment((_FILE_SERVICE, i, _SERVICE_METHOD, j))}\n"


def streamed(name: str, *, stream: bool) -> str:
    """Return how a method's message is written."""
    return f"stream of {name}" if stream else name


def lines_of_messages(page: str, file: ProtoFile) -> Iterator[str]:
    """Yield each message with a table of its fields, nested ones after their parent."""
    for message, name, at in messages_of(file.descriptor):
        yield from (f"### message {name}\n", f"{file.comment(at)}\n")
        if message.field:
            yield from ("| field | type | meaning |", "|---|---|---|")
            entries = {f".{file.descriptor.package}.{name}.{e.name}": e for e in message.nested_type if is_entry(e)}
            for i, field in enumerate(message.field):
                text = file.comment((*at, _MESSAGE_FIELD, i))
                yield f"| `{field.name}` | {type_of(page, field, entries)} | {cell(group(message, field) + text)} |"
            yield ""


def messages_of(descriptor: pb.FileDescriptorProto) -> Iterator[tuple[pb.DescriptorProto, str, Position]]:
    """Yield each message with its dotted name and position; the entries of maps are left out."""
    waiting: list[tuple[pb.DescriptorProto, str, Position]] = [
        (message, message.name, (_FILE_MESSAGE, i)) for i, message in enumerate(descriptor.message_type)
    ]
    while waiting:
        message, name, at = waiting.pop(0)
        yield message, name, at
        nested = enumerate(message.nested_type)
        waiting[:0] = [(m, f"{name}.{m.name}", (*at, _MESSAGE_NESTED, i)) for i, m in nested if not is_entry(m)]


def is_entry(message: pb.DescriptorProto) -> bool:
    """Return whether `message` is what protoc makes of a map field."""
    return message.options.map_entry


def group(message: pb.DescriptorProto, field: pb.FieldDescriptorProto) -> str:
    """Return a note when only one field of a oneof may be set."""
    if not field.HasField("oneof_index") or field.proto3_optional:
        return ""
    return f"One of `{message.oneof_decl[field.oneof_index].name}`. "


def type_of(page: str, field: pb.FieldDescriptorProto, entries: dict[str, pb.DescriptorProto]) -> str:
    """Return the type of `field` as Markdown."""
    if field.type_name in entries:
        key, value = entries[field.type_name].field
        return f"map of {type_of(page, key, {})} to {type_of(page, value, {})}"
    kind = "enum" if field.type == pb.FieldDescriptorProto.TYPE_ENUM else "message"
    name = _SCALARS.get(field.type) or linked(page, field.type_name, kind)
    repeated = field.label == pb.FieldDescriptorProto.LABEL_REPEATED
    return f"repeated {name}" if repeated else f"optional {name}" if field.proto3_optional else name


def linked(page: str, type_name: str, kind: str = "message") -> str:
    """Return the name of a message or enum as a link to where it is documented.

    Args:
        page: The page that the link stands on.
        type_name: As descriptors write it: `.package.Name`, packages in lower case.
        kind: "message" or "enum".
    """
    parts = type_name.lstrip(".").split(".")
    name = ".".join(part for part in parts if part[0].isupper())
    package = ".".join(part for part in parts if not part[0].isupper())
    if package.startswith("google."):
        return f"`{package}.{name}`"
    other = page_of(package)
    return f"[{name}]({'' if other == page else other}#{slug(f'{kind} {name}')})"


def slug(heading: str) -> str:
    """Return the anchor that both GitHub and Python-Markdown make of `heading`."""
    return re.sub(r"[^\w\s-]", "", heading).strip().lower().replace(" ", "-")


def lines_of_enums(file: ProtoFile) -> Iterator[str]:
    """Yield each enum with a table of its values."""
    for enum, name, at in enums_of(file.descriptor):
        yield from (f"### enum {name}\n", f"{file.comment(at)}\n", "| value | number | meaning |", "|---|---|---|")
        for i, value in enumerate(enum.value):
            yield f"| `{value.name}` | {value.number} | {cell(file.comment((*at, _ENUM_VALUE, i)))} |"
        yield ""


def enums_of(descriptor: pb.FileDescriptorProto) -> Iterator[tuple[pb.EnumDescriptorProto, str, Position]]:
    """Yield each enum with its dotted name and position."""
    for i, enum in enumerate(descriptor.enum_type):
        yield enum, enum.name, (_FILE_ENUM, i)
    for message, name, at in messages_of(descriptor):
        for i, enum in enumerate(message.enum_type):
            yield enum, f"{name}.{enum.name}", (*at, _MESSAGE_ENUM, i)


def cell(text: str) -> str:
    """Return text that does not break a table."""
    return text.replace("|", "\\|").replace("\n\n", " ")


if __name__ == "__main__":
    main()
