"""Public names of `hocket.client`: each loads, and the lists that name them agree."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

import hocket.client
from hocket.chassis import errors


def names_for_type_checkers() -> dict[str, str]:
    """Module of each name that the TYPE_CHECKING block imports."""
    source = ast.parse(Path(hocket.client.__file__).read_text(encoding="utf-8"))
    block = next(n for n in source.body if isinstance(n, ast.If) and isinstance(n.test, ast.Name))
    return {alias.name: node.module for node in block.body for alias in node.names}  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", hocket.client.__all__)
def test_a_public_name_is_the_object_that_type_checkers_see(name):
    module = import_module(names_for_type_checkers()[name])
    assert getattr(hocket.client, name) is getattr(module, name)


def test_type_checkers_and_the_interpreter_see_the_same_names():
    assert sorted(names_for_type_checkers()) == sorted(hocket.client.__all__) == dir(hocket.client)


def test_each_error_of_the_mesh_is_public():
    kinds = {n for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, errors.MeshError)}
    assert kinds <= set(hocket.client.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="VisoinClient"):
        _ = hocket.client.VisoinClient  # type: ignore[attr-defined]
