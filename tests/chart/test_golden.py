"""What the charts render is what tests/chart/golden holds; `make golden` writes it anew."""

from __future__ import annotations

import pytest

from tests.chart import golden


@pytest.mark.parametrize(("name", "file"), golden.CASES)
def test_rendered_chart_is_the_golden_one(name, file):
    assert golden.path(name, file).read_text() == golden.text(name, file), "review the change, then run make golden"


def test_no_golden_file_is_left_over():
    assert {path.name for path in golden.FOLDER.glob("*.yaml")} == {golden.path(*case).name for case in golden.CASES}
