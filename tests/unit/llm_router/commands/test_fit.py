"""`hocket-llm-router fit` names the extra that it needs."""

from __future__ import annotations

import sys

import pytest

from services.llm_router.commands import fit


def test_without_numpy_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "services.llm_router.routing.fitting", raising=False)
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(SystemExit, match=r"numpy is not installed: install hocket\[llm-router-fit\]"):
        fit.main([str(tmp_path / "outcomes.jsonl"), str(tmp_path / "weights.json")])
