"""JSON that some vendor rejects is refused with the reason."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.llm_router.chat import strict_json

LETTERS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | LETTERS,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(LETTERS, inside, max_size=3),
)


@given(VALUES)
def test_json_is_read_as_it_is(value):
    assert strict_json.parse(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"x": 1e999}', "too large"),
        ('{"x": -1e999}', "too large"),
        ('{"x": [NaN]}', "NaN, which is not a JSON number"),
        ("-Infinity", "-Infinity, which is not a JSON number"),
        (r'{"x": "\ud800"}', "lone surrogate"),
        (r'{"\udc00": 1}', "lone surrogate"),
        ("[" * 66 + "]" * 66, "nested too deeply"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
        ("{", "Expecting"),
    ],
)
def test_values_outside_strict_json_are_refused(text: str, problem: str):
    with pytest.raises(ValueError, match=problem):
        strict_json.parse(text)


def test_surrogate_pairs_and_64_levels_are_accepted():
    assert strict_json.parse(r'"\ud83d\ude00"') == "\N{GRINNING FACE}"
    strict_json.parse("[" * 64 + "]" * 64)


def test_only_objects_are_accepted():
    assert strict_json.parse_object('{"a": 1}') == {"a": 1}
    with pytest.raises(ValueError, match="must be a JSON object"):
        strict_json.parse_object("[1]")
