"""Checks of names and texts in requests."""

from __future__ import annotations

import pytest

from hocket.chassis.errors import InvalidArgument
from services.ratelimit.text_fields import check_limit_name, check_text


@pytest.mark.parametrize("name", ["", "A", "a b", "a-b", "x" * 65, "é", "a\n"])
def test_malformed_limit_name_is_refused(name):
    with pytest.raises(InvalidArgument) as caught:
        check_limit_name("spend.limit", name)
    assert list(caught.value.fields) == ["spend.limit"]


@pytest.mark.parametrize("text", ["x" * 129, "é" * 65, "a\x00", "a\n"])
def test_text_that_is_too_long_or_holds_control_characters_is_refused(text):
    with pytest.raises(InvalidArgument) as caught:
        check_text("room", text, 128)
    assert list(caught.value.fields) == ["room"]


def test_empty_text_is_refused_only_where_required():
    check_text("room", "", 128)
    with pytest.raises(InvalidArgument):
        check_text("model", "", 128, required=True)
