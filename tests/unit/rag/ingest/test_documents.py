"""Fingerprints of documents, and the terms by which passages are indexed."""

from __future__ import annotations

from services.rag.ingest.chunking import split_into_chunks
from services.rag.ingest.documents import Document, fingerprint, index_passage


def document(title="a", text="t", metadata=None) -> Document:
    return Document("a", title, text, metadata or {})


def test_fingerprint_changes_with_everything_that_is_stored():
    made = fingerprint(document(metadata={"a": "1", "b": "2"}), 1000)
    assert made == fingerprint(document(metadata={"b": "2", "a": "1"}), 1000)
    others = [
        fingerprint(document(metadata={"a": "1", "b": "3"}), 1000),
        fingerprint(document(title="x", metadata={"a": "1", "b": "2"}), 1000),
        fingerprint(document(text="u", metadata={"a": "1", "b": "2"}), 1000),
        fingerprint(document(metadata={"a": "1", "b": "2"}), 999),
    ]
    assert len({made, *others}) == 5


def test_terms_of_title_and_headings_count_twice():
    [chunk] = split_into_chunks("# Warranty\nTwo years.", 1000)
    passage = index_passage("Lamps", chunk)
    assert passage.frequencies == {"lamp": 2, "warranti": 2, "2": 1, "year": 1}
    assert passage.length == 6
