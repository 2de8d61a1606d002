"""Validates requests: every size, id and count; an error names the field and the allowed values."""

from __future__ import annotations

import base64
import binascii
import math
import unicodedata
from collections.abc import Mapping, Sequence

from hocket.chassis.errors import invalid_field
from services.rag.ingest.documents import Document
from services.rag.search.query import SearchQuery
from services.rag.text.analysis import query_terms

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


def validate_query(
    query: str,
    *,
    k: int,
    filters: Mapping[str, str],
    budget_s: float | None,
    budget_s_default: float,
    left_s: float | None = None,
) -> SearchQuery:
    """Validate a search.

    Args:
        query: The question, 1 to 4096 bytes.
        k: Passages wanted, 1 to 100; 0 means 5.
        filters: Metadata pairs, at most 16.
        budget_s: Time budget in seconds, over 0 to 30; None for the default.
        budget_s_default: The default budget in seconds.
        left_s: Seconds left of the call's deadline, which bound the budget; None without a deadline.

    Raises:
        InvalidArgument: A field is invalid.
    """
    _check_filled(query, "query", bytes_max=QUERY_BYTES_MAX)
    if not 0 <= k <= K_MAX:
        raise invalid_field("k", f"is {k}; must be 1 to {K_MAX}, or 0 for {K_DEFAULT}")
    _check_pairs(filters, "filters", pairs_max=FILTERS_MAX)
    if budget_s is None:
        budget_s = budget_s_default
    if not (math.isfinite(budget_s) and 0 < budget_s <= BUDGET_S_MAX):
        raise invalid_field("budget", f"is {budget_s:g} s; must be over 0 and at most {BUDGET_S_MAX:g} s, or unset")
    within_s = budget_s if left_s is None else min(budget_s, left_s)
    return SearchQuery(query, query_terms(query), k or K_DEFAULT, dict(filters), within_s)


def validate_document(document_id: str, title: str, text: str, metadata: Mapping[str, str]) -> Document:
    """Validate a document; an empty title becomes the id. Raises InvalidArgument naming the field."""
    validate_document_id(document_id, "document.document_id")
    if len(title.encode()) > TITLE_BYTES_MAX:
        raise invalid_field("document.title", f"must be at most {TITLE_BYTES_MAX} bytes")
    _check_no_control(title, "document.title")
    _check_filled(text, "document.text", bytes_max=TEXT_BYTES_MAX)
    _check_pairs(metadata, "document.metadata", pairs_max=METADATA_PAIRS_MAX)
    return Document(document_id, title.strip() or document_id, text, dict(metadata))


def validate_document_id(document_id: str, field: str = "document_id") -> str:
    """Return a valid document id: 1 to 128 bytes in Unicode normal form C. Raises InvalidArgument."""
    if not 1 <= len(document_id.encode()) <= DOCUMENT_ID_BYTES_MAX:
        raise invalid_field(field, f"must be 1 to {DOCUMENT_ID_BYTES_MAX} bytes of UTF-8")
    _check_no_control(document_id, field)
    if not unicodedata.is_normalized("NFC", document_id):
        # Otherwise two ids that look the same would be two documents.
        raise invalid_field(field, "must be in Unicode normal form C")
    return document_id


def validate_texts(texts: Sequence[str]) -> list[str]:
    """Validate the texts to embed: 1 to 128 of at most 32 KiB each. Raises InvalidArgument."""
    if not 1 <= len(texts) <= EMBED_TEXTS_MAX:
        raise invalid_field("texts", f"holds {len(texts)} texts; must hold 1 to {EMBED_TEXTS_MAX}")
    for i, text in enumerate(texts):
        _check_filled(text, f"texts[{i}]", bytes_max=EMBED_TEXT_BYTES_MAX)
    return list(texts)


def validate_page(page_size: int, page_token: str) -> tuple[int, str]:
    """Return the page size, and the id after which the page starts ("" for the first). Raises InvalidArgument."""
    if not 0 <= page_size <= PAGE_SIZE_MAX:
        raise invalid_field("page_size", f"is {page_size}; must be 1 to {PAGE_SIZE_MAX}, or 0 for {PAGE_SIZE_DEFAULT}")
    return page_size or PAGE_SIZE_DEFAULT, _id_of(page_token) if page_token else ""


def page_token(last_document_id: str) -> str:
    """Return the token of the page after the one that ends with `last_document_id`."""
    return base64.urlsafe_b64encode(last_document_id.encode()).decode()


def _id_of(token: str) -> str:
    try:
        document_id = base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
        return validate_document_id(document_id, "page_token")
    except (binascii.Error, UnicodeError) as error:
        raise invalid_field("page_token", "must be the next_page_token of an earlier response") from error


def _check_filled(text: str, field: str, *, bytes_max: int) -> None:
    if not 1 <= len(text.encode()) <= bytes_max:
        raise invalid_field(field, f"must be 1 to {bytes_max} bytes of UTF-8")
    if not text.strip():
        raise invalid_field(field, "must not be only white space")
    if "\0" in text:
        raise invalid_field(field, "must not hold the character NUL")


def _check_pairs(pairs: Mapping[str, str], field: str, *, pairs_max: int) -> None:
    if len(pairs) > pairs_max:
        raise invalid_field(field, f"holds {len(pairs)} pairs; must hold at most {pairs_max}")
    for key, value in pairs.items():
        if not key:
            raise invalid_field(field, "must not hold an empty key")
        if len(key.encode()) + len(value.encode()) > PAIR_BYTES_MAX:
            raise invalid_field(field, f"must hold pairs of at most {PAIR_BYTES_MAX} bytes, key and value together")
        _check_no_control(key + value, field)


def _check_no_control(text: str, field: str) -> None:
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise invalid_field(field, "must not hold control characters")
