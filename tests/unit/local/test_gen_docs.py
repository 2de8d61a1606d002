"""The page of errors is read from the comments of the enum."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "gen_docs.py"


@pytest.fixture(scope="module")
def gen_docs():
    spec = importlib.util.spec_from_file_location("gen_docs", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_reason_has_its_codes_and_its_sentence(gen_docs):
    proto = """
      // Never sent.
      REASON_UNSPECIFIED = 0;
      // Too big; or too
      // many. RESOURCE_EXHAUSTED or INVALID_ARGUMENT.
      REASON_TOO_LARGE = 13;
    """
    assert list(gen_docs.reasons(proto)) == [
        ("TOO_LARGE", ["RESOURCE_EXHAUSTED", "INVALID_ARGUMENT"], "Too big; or too many.")
    ]


def test_a_reason_without_a_code_is_refused(gen_docs):
    with pytest.raises(SystemExit, match="REASON_ODD does not end with its gRPC code"):
        list(gen_docs.reasons("// What is this.\nREASON_ODD = 1;\n"))


def test_every_reason_that_the_chassis_raises_by_default_is_in_the_enum(gen_docs):
    from hocket.chassis import errors

    known = {reason for reason, _, _ in gen_docs.reasons(gen_docs.REASONS.read_text())}
    raised = {kind.default_reason for kind in errors.MeshError.__subclasses__()}
    assert raised - known == set()
