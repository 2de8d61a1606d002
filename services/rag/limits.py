"""Decides which requests are acceptable: every size, id and count, each refusal naming its field."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import unicodedata
from collections.abc import Mapping, Sequence

from hocket.chassis.errors import invalid_field
from services.rag import chunking
from services.rag.analysis import query_terms
from services.rag.knowledge import Document, Question

QUERY_BYTES_MAX = 4096
K_DEFAULT = 5
K_MAX = 100
FILTERS_MAX = 16
DOCUMENT_ID_BYTES_MAX = 128
TITLE_BYTES_MAX = 512
TEXT_BYTES_MAX = 1024 * 1024
METADATA_PAIRS_MAX = 32
PAIR_BYTES_MAX = 256
PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1000
EMBED_TEXTS_MAX = 128
EMBED_TEXT_BYTES_MAX = 32 * 1024
BUDGET_S_MAX = 30.0


def acceptable_question(
    query: str,
    *,
    k: int,
    filters: Mapping[str, str],
    budget_s: float | None,
    budget_s_default: float,
    left_s: float | None = None,
) -> Question:
    """The question to answer, in at most the `left_s` seconds that its call has. Raises InvalidArgument."""
    _filled(query, "query", bytes_max=QUERY_BYTES_MAX)
    if not 0 <= k <= K_MAX:
        raise invalid_field("k", f"must be 0 (for {K_DEFAULT}) to {K_MAX}")
    _pairs(filters, "filters", pairs_max=FILTERS_MAX)
    if budget_s is None:
        budget_s = budget_s_default
    if not (math.isfinite(budget_s) and 0 < budget_s <= BUDGET_S_MAX):
        raise invalid_field("budget", f"must be over 0 and at most {BUDGET_S_MAX:g} s; leave it out for the default")
    within_s = budget_s if left_s is None else min(budget_s, left_s)
    return Question(query, query_terms(query), k or K_DEFAULT, dict(filters), within_s)


def acceptable_document(document_id: str, title: str, text: str, metadata: Mapping[str, str]) -> Document:
    """The document to store; an empty title becomes the id. Raises InvalidArgument."""
    acceptable_document_id(document_id, "document.document_id")
    if len(title.encode()) > TITLE_BYTES_MAX:
        raise invalid_field("document.title", f"must be at most {TITLE_BYTES_MAX} bytes")
    _no_control(title, "document.title")
    _filled(text, "document.text", bytes_max=TEXT_BYTES_MAX)
    _pairs(metadata, "document.metadata", pairs_max=METADATA_PAIRS_MAX)
    return Document(document_id, title.strip() or document_id, text, dict(metadata))


def acceptable_document_id(document_id: str, field: str = "document_id") -> str:
    """The id as it is. Raises InvalidArgument."""
    if not 1 <= len(document_id.encode()) <= DOCUMENT_ID_BYTES_MAX:
        raise invalid_field(field, f"must be 1 to {DOCUMENT_ID_BYTES_MAX} bytes of UTF-8")
    _no_control(document_id, field)
    if not unicodedata.is_normalized("NFC", document_id):
        # Two ids that look the same would be two documents.
        raise invalid_field(field, "must be in Unicode normal form C")
    return document_id


def acceptable_texts(texts: Sequence[str]) -> list[str]:
    """The texts to embed. Raises InvalidArgument."""
    if not 1 <= len(texts) <= EMBED_TEXTS_MAX:
        raise invalid_field("texts", f"must be 1 to {EMBED_TEXTS_MAX} texts")
    for i, text in enumerate(texts):
        _filled(text, f"texts[{i}]", bytes_max=EMBED_TEXT_BYTES_MAX)
    return list(texts)


def acceptable_page(page_size: int, page_token: str) -> tuple[int, str]:
    """How many documents to list, and the id after which to start ("" for the first). Raises InvalidArgument."""
    if not 0 <= page_size <= PAGE_SIZE_MAX:
        raise invalid_field("page_size", f"must be 0 (for {PAGE_SIZE_DEFAULT}) to {PAGE_SIZE_MAX}")
    return page_size or PAGE_SIZE_DEFAULT, _id_of(page_token) if page_token else ""


def page_token(last_document_id: str) -> str:
    """The token of the page after the one that ends with `last_document_id`."""
    return base64.urlsafe_b64encode(last_document_id.encode()).decode()


def _id_of(token: str) -> str:
    try:
        document_id = base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
        return acceptable_document_id(document_id, "page_token")
    except (binascii.Error, UnicodeError) as error:
        raise invalid_field("page_token", "must be a next_page_token of an earlier response") from error


def fingerprint(document: Document, passage_bytes_max: int) -> bytes:
    """A hash of all that decides what is stored; the same hash means that nothing changes."""
    content = [
        chunking.VERSION, passage_bytes_max, document.title, document.text, sorted(document.metadata.items())
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).digest()


def _filled(text: str, field: str, *, bytes_max: int) -> None:
    if not 1 <= len(text.encode()) <= bytes_max:
        raise invalid_field(field, f"must be 1 to {bytes_max} bytes of UTF-8")
    if not text.strip():
        raise invalid_field(field, "must hold more than space")
    if "\0" in text:
        raise invalid_field(field, "must not hold the character NUL")


def _pairs(pairs: Mapping[str, str], field: str, *, pairs_max: int) -> None:
    if len(pairs) > pairs_max:
        raise invalid_field(field, f"must be at most {pairs_max} pairs")
    for key, value in pairs.items():
        if not key:
            raise invalid_field(field, "must not hold an empty key")
        if len(key.encode()) + len(value.encode()) > PAIR_BYTES_MAX:
            raise invalid_field(field, f"must hold pairs of at most {PAIR_BYTES_MAX} bytes, key and value together")
        _no_control(key + value, field)


def _no_control(text: str, field: str) -> None:
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise invalid_field(field, "must not hold control characters")
