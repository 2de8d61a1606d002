"""What the parts of rag speak of: documents, their passages, and the answers to questions about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.rag.analysis import QueryTerm, terms
from services.rag.chunking import Chunk


@dataclass(frozen=True, slots=True)
class Document:
    """A text with a name, as it was sent and found acceptable; `title` is never empty."""

    document_id: str
    title: str
    text: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class IndexedPassage:
    """A passage and how often it holds each term, those of its title and headings included."""

    chunk: Chunk
    frequencies: Mapping[str, int]

    @property
    def length(self) -> int:
        """How many terms it holds, repeats counted."""
        return sum(self.frequencies.values())


# A word of the title or of a heading says more of a passage than one of its own: counted twice, dbpedia-mini gains
# 0.02 in nDCG@10, and three times is no better.
_CONTEXT_WEIGHT = 2


def indexed(title: str, chunk: Chunk) -> IndexedPassage:
    """What `chunk` is found by: its words, the title and the headings above it."""
    context = " \n ".join((title, *chunk.headings))
    return IndexedPassage(chunk, Counter(terms(context) * _CONTEXT_WEIGHT + terms(chunk.text)))


@dataclass(frozen=True, slots=True)
class Stored:
    """What is known of a document without reading it. `embedding_model` is None where vectors are missing."""

    content_hash: bytes
    passages: int
    embedding_model: str | None


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """A document in a list."""

    document_id: str
    title: str
    passages: int
    size_bytes: int
    updated_at: datetime
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Vectors:
    """One vector of unit length for each text, in order, and the model that made them."""

    model: str
    values: Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage that was found; `score` is comparable within one order only."""

    passage_id: str
    document_id: str
    title: str
    text: str
    start_byte: int
    end_byte: int
    headings: tuple[str, ...]
    metadata: Mapping[str, str]
    score: float


@dataclass(frozen=True, slots=True)
class Question:
    """A search that was found acceptable. `budget_s` is the time to answer in, in seconds."""

    query: str
    terms: Sequence[QueryTerm]
    k: int
    filters: Mapping[str, str]
    budget_s: float


@dataclass(frozen=True, slots=True)
class Answer:
    """Passages best first, how long each stage took in seconds, and which were left out and why."""

    passages: Sequence[Passage]
    timings_s: Sequence[tuple[str, float]]
    degraded: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Ingested:
    """How a document was taken: `error` is empty when it is stored, `degraded` names steps that were left out."""

    document_id: str
    passages: int = 0
    unchanged: bool = False
    error: str = ""
    degraded: Sequence[str] = field(default=())
