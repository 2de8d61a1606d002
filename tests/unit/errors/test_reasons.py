"""The reasons of the contract are exactly those that the code raises."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from hocket.errors.v1 import reason_pb2

ROOT = Path(__file__).resolve().parents[3]
SOURCES = sorted(p for folder in ("hocket", "services") for p in (ROOT / folder).rglob("*.py"))


def default_reason(node: ast.ClassDef) -> str:
    """Return the constant that the class assigns to `default_reason`; "" without one."""
    for field in node.body:
        if isinstance(field, ast.Assign | ast.AnnAssign) and isinstance(field.value, ast.Constant):
            targets = field.targets if isinstance(field, ast.Assign) else [field.target]
            if any(isinstance(t, ast.Name) and t.id == "default_reason" for t in targets):
                return str(field.value.value)
    return ""


@cache
def raised() -> frozenset[str]:
    """Return the reasons passed as `reason=` constants, and the default reasons of classes that are called."""
    passed: set[str] = set()
    called: set[str] = set()
    defaults: dict[str, str] = {}
    texts = [path.read_text(encoding="utf-8") for path in SOURCES]
    nodes = (node for text in texts for node in ast.walk(ast.parse(text)))
    for node in nodes:
        if isinstance(node, ast.Call):
            called.add(node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", ""))
            passed |= {
                str(keyword.value.value)
                for keyword in node.keywords
                if keyword.arg == "reason" and isinstance(keyword.value, ast.Constant) and keyword.value.value
            }
        elif isinstance(node, ast.ClassDef) and (reason := default_reason(node)):
            defaults[node.name] = reason
    return frozenset(passed | {reason for name, reason in defaults.items() if name in called})


def contract() -> set[str]:
    names = reason_pb2.Reason.keys()
    return {name.removeprefix("REASON_") for name in names} - {"UNSPECIFIED"}


def test_each_reason_of_the_contract_is_raised_somewhere():
    assert sorted(contract() - raised()) == []


def test_each_reason_that_is_raised_is_in_the_contract():
    assert sorted(raised() - contract()) == []
