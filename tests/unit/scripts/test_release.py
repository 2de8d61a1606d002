"""A release needs a version, a dated section of the changelog, and nothing left unreleased."""

from __future__ import annotations

import pytest

from scripts.release import changelog_problems

GOOD = (
    "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-12-01\n\n- A change.\n\n## [0.1.0] - 2026-11-27\n\n- First.\n"
)


def test_a_dated_section_with_changes_is_enough():
    assert list(changelog_problems(GOOD, "0.2.0")) == []


@pytest.mark.parametrize(
    ("changelog", "version", "problem"),
    [
        (GOOD, "0.3.0", "has no section"),
        (GOOD, "2", "not MAJOR.MINOR.PATCH"),
        (GOOD.replace(" - 2026-12-01", ""), "0.2.0", "has no date"),
        (GOOD.replace("- A change.", ""), "0.2.0", "lists no change"),
        (GOOD.replace("[Unreleased]\n", "[Unreleased]\n\n- Later.\n"), "0.2.0", "unreleased changes"),
    ],
)
def test_each_problem_is_named(changelog, version, problem):
    assert any(problem in line for line in changelog_problems(changelog, version))
