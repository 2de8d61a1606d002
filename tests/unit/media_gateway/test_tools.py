"""The tools an agent offers."""

from __future__ import annotations

import json

import jsonschema

from services.media_gateway import tools


def test_every_tool_has_a_valid_schema_that_forbids_what_it_does_not_name():
    for name, schema in tools.SCHEMAS.items():
        assert schema["name"] == name
        jsonschema.Draft202012Validator.check_schema(schema["parameters"])
        assert schema["parameters"]["additionalProperties"] is False
        json.dumps(schema)


def test_a_task_needs_a_title_and_may_be_due():
    parameters = tools.SCHEMAS[tools.CREATE_TASK]["parameters"]
    assert parameters["required"] == ["title"]
    assert set(parameters["properties"]) == {"title", "due"}


def test_arguments_are_text_within_a_limit():
    assert tools.text_argument({"title": " call Bob "}, "title") == "call Bob"
    assert tools.text_argument({"title": 5}, "title") == ""
    assert tools.text_argument({}, "title") == ""
    assert len(tools.text_argument({"title": "x" * 9999}, "title")) == tools.ARGUMENT_CHARS_MAX
