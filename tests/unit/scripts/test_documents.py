"""Documents name files and functions that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted(
    p
    for pattern in ("*.md", "docs/**/*.md", "services/*/README.md", "local/*.md", "bench/**/*.md")
    for p in ROOT.glob(pattern)
)
_PLACE = re.compile(r"`([\w./-]+/[\w.-]+\.(?:py|md|toml|proto|lua|yaml|yml))(?::([A-Za-z_][\w.]*)(?:\(\))?)?`")


def defined(module: Path) -> set[str]:
    """Functions, classes and methods of a module; methods as `Class.name` and, where a README is brief, as `name`."""
    body = ast.parse(module.read_text(encoding="utf-8")).body
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    found = {node.name for node in body if isinstance(node, kinds)}
    for node in body:
        if isinstance(node, ast.ClassDef):
            methods = {inner.name for inner in node.body if isinstance(inner, kinds)}
            found |= methods | {f"{node.name}.{method}" for method in methods}
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_named_files_and_functions_exist(document):
    missing = []
    for path, name in _PLACE.findall(document.read_text(encoding="utf-8")):
        file = next((at for at in (ROOT / path, document.parent / path) if at.exists()), None)
        if file is None or (name and file.suffix == ".py" and name not in defined(file)):
            missing.append(f"{path}:{name}" if name else path)
    assert missing == []
