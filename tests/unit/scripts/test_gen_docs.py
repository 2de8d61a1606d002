"""docs/errors.md is generated from the comments of the enum."""

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


def test_a_reason_has_its_code_its_meaning_and_its_remedy(gen_docs):
    proto = """
      // Never sent.
      REASON_UNSPECIFIED = 0;
      // Too big; or too
      // many.
      // Remedy: send less; the
      // message names the limit.
      // Code: INVALID_ARGUMENT.
      REASON_TOO_LARGE = 13;
    """
    assert list(gen_docs.reasons(proto)) == [
        ("TOO_LARGE", "INVALID_ARGUMENT", "Too big; or too many.", "Send less; the message names the limit.")
    ]


@pytest.mark.parametrize("comment", ["What it is.", "What it is. Code: INTERNAL.", "What it is. Remedy: wait."])
def test_a_reason_without_a_code_or_a_remedy_is_refused(gen_docs, comment):
    with pytest.raises(SystemExit, match="REASON_ODD needs the comment"):
        list(gen_docs.reasons(f"// {comment}\nREASON_ODD = 1;\n"))
