"""Validation of requests; an error names the field."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hocket.chassis.errors import InvalidArgument
from services.rag import validation
from services.rag.search.query import SearchQuery


def question(query="what", *, k=0, filters=None, budget_s=None, left_s=None) -> SearchQuery:
    return validation.validate_query(
        query, k=k, filters=filters or {}, budget_s=budget_s, budget_s_default=0.3, left_s=left_s
    )


def document(document_id="a", title="", text="t", metadata=None):
    return validation.validate_document(document_id, title, text, metadata or {})


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: question(""), "query"),
        (lambda: question(" \n"), "query"),
        (lambda: question("a\0b"), "query"),
        (lambda: question("é" * 2049), "query"),
        (lambda: question(k=-1), "k"),
        (lambda: question(k=101), "k"),
        (lambda: question(filters={str(i): "" for i in range(17)}), "filters"),
        (lambda: question(filters={"": "a"}), "filters"),
        (lambda: question(filters={"a": "b" * 256}), "filters"),
        (lambda: question(filters={"a": "\0"}), "filters"),
        (lambda: question(budget_s=0), "budget"),
        (lambda: question(budget_s=-1), "budget"),
        (lambda: question(budget_s=31), "budget"),
        (lambda: question(budget_s=float("nan")), "budget"),
        (lambda: document(""), "document.document_id"),
        (lambda: document("x" * 129), "document.document_id"),
        (lambda: document("a\0"), "document.document_id"),
        (lambda: document("a\n"), "document.document_id"),
        (lambda: document("e\u0301"), "document.document_id"),
        (lambda: document(title="t" * 513), "document.title"),
        (lambda: document(title="a\tb"), "document.title"),
        (lambda: document(text=""), "document.text"),
        (lambda: document(text=" \n\t"), "document.text"),
        (lambda: document(text="a\0"), "document.text"),
        (lambda: document(text="x" * (1024 * 1024 + 1)), "document.text"),
        (lambda: document(metadata={str(i): "" for i in range(33)}), "document.metadata"),
        (lambda: validation.validate_texts([]), "texts"),
        (lambda: validation.validate_texts(["a"] * 129), "texts"),
        (lambda: validation.validate_texts(["a", ""]), "texts[1]"),
        (lambda: validation.validate_texts(["x" * (32 * 1024 + 1)]), "texts[0]"),
        (lambda: validation.validate_page(-1, ""), "page_size"),
        (lambda: validation.validate_page(1001, ""), "page_size"),
        (lambda: validation.validate_page(1, "not base64!"), "page_token"),
        (lambda: validation.validate_page(1, "/w=="), "page_token"),
        (lambda: validation.validate_page(1, "_w=="), "page_token"),
        (lambda: validation.validate_page(1, "AA=="), "page_token"),
        (lambda: validation.validate_page(1, "é"), "page_token"),
    ],
)
def test_error_names_the_invalid_field(make, field):
    with pytest.raises(InvalidArgument) as caught:
        make()
    assert [field] == list(caught.value.fields)


def test_zero_means_the_default_and_an_empty_title_becomes_the_id():
    assert (question().k, question().budget_s) == (5, 0.3)
    assert validation.validate_page(0, "") == (100, "")
    assert document(title=" ").title == "a"


def test_budget_is_bounded_by_the_deadline_of_the_call():
    assert question(budget_s=2, left_s=0.1).budget_s == 0.1
    assert question(budget_s=0.2, left_s=5).budget_s == 0.2


@pytest.mark.parametrize(
    "document_id", ["'", "a b", " a ", "日本語", "\U0001f600", "../etc", "x" * 128, "%", "\u202ea"]
)
def test_unusual_ids_are_accepted_unchanged(document_id):
    assert document_id == validation.validate_document_id(document_id)


@given(st.text(min_size=1, max_size=30))
def test_page_token_encodes_its_id(document_id):
    try:
        validation.validate_document_id(document_id)
    except InvalidArgument:
        return
    assert (7, document_id) == validation.validate_page(7, validation.page_token(document_id))
