"""The reasons of the contract are those that the code raises, neither more nor fewer."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from hocket.errors.v1 import reason_pb2

ROOT = Path(__file__).resolve().parents[3]
SOURCES = sorted(p for folder in ("hocket", "services") for p in (ROOT / folder).rglob("*.py"))


def called_names(tree: ast.AST) -> Iterator[str]:
    """Names of what is called: a class among them is raised or made somewhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield node.func.id
            elif isinstance(node.func, ast.Attribute):
                yield node.func.attr


def reasons_passed(tree: ast.AST) -> Iterator[str]:
    """Constants given as `reason=`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "reason" and isinstance(node.value, ast.Constant):
            yield node.value.value


def default_reasons(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(class, reason) of each class with a `default_reason`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for field in node.body:
                targets = field.targets if isinstance(field, ast.Assign) else [getattr(field, "target", None)]
                names = {t.id for t in targets if isinstance(t, ast.Name)}
                if "default_reason" in names and isinstance(field.value, ast.Constant):
                    yield node.name, field.value.value


def raised() -> set[str]:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES]
    called = {name for tree in trees for name in called_names(tree)}
    passed = {reason for tree in trees for reason in reasons_passed(tree)}
    return passed | {reason for tree in trees for name, reason in default_reasons(tree) if name in called}


def contract() -> set[str]:
    names = reason_pb2.Reason.keys()
    return {name.removeprefix("REASON_") for name in names} - {"UNSPECIFIED"}


def test_each_reason_of_the_contract_is_raised_somewhere():
    assert sorted(contract() - raised()) == []


def test_each_reason_that_is_raised_is_in_the_contract():
    assert sorted({r for r in raised() if r} - contract()) == []
