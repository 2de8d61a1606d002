"""JSON schemas of the tools, and arguments of tool calls."""

from __future__ import annotations

import json

import jsonschema

from services.media_gateway.turns import tool_schemas


def test_every_schema_is_valid_and_allows_no_other_properties():
    for name, schema in tool_schemas.SCHEMAS.items():
        assert schema["name"] == name
        jsonschema.Draft202012Validator.check_schema(schema["parameters"])
        assert schema["parameters"]["additionalProperties"] is False
        json.dumps(schema)


def test_a_task_requires_a_title_and_allows_a_due_date():
    parameters = tool_schemas.SCHEMAS[tool_schemas.CREATE_TASK]["parameters"]
    assert parameters["required"] == ["title"]
    assert set(parameters["properties"]) == {"title", "due"}


def test_text_arguments_are_stripped_and_cut():
    assert tool_schemas.text_argument({"title": " call Bob "}, "title") == "call Bob"
    assert tool_schemas.text_argument({"title": 5}, "title") == ""
    assert tool_schemas.text_argument({}, "title") == ""
    assert len(tool_schemas.text_argument({"title": "x" * 9999}, "title")) == tool_schemas.ARGUMENT_CHARS_MAX
