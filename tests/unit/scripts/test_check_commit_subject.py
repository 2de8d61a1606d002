"""Commit subjects: a scope, an imperative, at most 72 characters."""

from __future__ import annotations

import pytest

from scripts.check_commit_subject import problem


@pytest.mark.parametrize(
    "subject",
    [
        "llm_router: skip fallbacks when less than 0.5 s of the deadline is left",
        "docs, tests: run every documented command",
        "Merge branch 'main'",
    ],
)
def test_a_plain_subject_passes(subject):
    assert problem(subject) == ""


@pytest.mark.parametrize(
    "subject",
    ["What was mended is told", "docs: Add a page", "docs: add a page.", "docs: " + "x" * 70],
)
def test_another_subject_is_refused(subject):
    assert problem(subject)
