"""The SQL of the Postgres store. Each statement names the tenant itself ($1), besides the policy of every table."""

from __future__ import annotations

from services.rag.ranking import K1, B

# Locks the tenant's row: writers of one tenant queue up here, so that its counts stay true.
LOCK_CORPUS = """
    INSERT INTO rag.corpora AS c (tenant_id) VALUES ($1)
    ON CONFLICT (tenant_id) DO UPDATE SET passages = c.passages
"""
COUNT_CORPUS = "UPDATE rag.corpora SET passages = passages + $2, terms = terms + $3 WHERE tenant_id = $1"

STORED = """
    SELECT content_hash, passages, embedding_model FROM rag.documents WHERE tenant_id = $1 AND id = $2
"""
PUT_DOCUMENT = """
    INSERT INTO rag.documents
        (tenant_id, id, title, metadata, content_hash, embedding_model, size_bytes, passages, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, now())
    ON CONFLICT (tenant_id, id) DO UPDATE SET
        title = excluded.title, metadata = excluded.metadata, content_hash = excluded.content_hash,
        embedding_model = excluded.embedding_model, size_bytes = excluded.size_bytes, passages = excluded.passages,
        updated_at = excluded.updated_at
"""
# asyncpg sends real[] in binary form; pgvector casts it. Vectors as text would be twenty times slower.
PUT_PASSAGE = """
    INSERT INTO rag.passages
        (tenant_id, id, document_id, ordinal, start_byte, end_byte, headings, body, terms, embedding_model, embedding)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::real[]::halfvec)
"""
PUT_POSTINGS = """
    INSERT INTO rag.postings (tenant_id, term, passage_id, frequency, length)
    SELECT $1, p.term, p.passage_id, p.frequency, p.length
    FROM unnest($2::text[], $3::uuid[], $4::integer[], $5::integer[]) AS p (term, passage_id, frequency, length)
"""

DROP_DOCUMENT = "DELETE FROM rag.documents WHERE tenant_id = $1 AND id = $2 RETURNING id"
DROP_PASSAGES = "DELETE FROM rag.passages WHERE tenant_id = $1 AND document_id = $2 RETURNING id, terms"
DROP_POSTINGS = "DELETE FROM rag.postings WHERE tenant_id = $1 AND passage_id = ANY($2::uuid[])"

SOME_DOCUMENTS = "SELECT id FROM rag.documents WHERE tenant_id = $1 ORDER BY id LIMIT $2"
DROP_CORPUS = "DELETE FROM rag.corpora WHERE tenant_id = $1"

DOCUMENTS = """
    SELECT id, title, passages, size_bytes, updated_at, metadata FROM rag.documents
    WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3
"""

UNUSED_TERMS = """
    SELECT q.term FROM unnest($2::text[]) AS q (term)
    WHERE NOT EXISTS (SELECT 1 FROM rag.postings p WHERE p.tenant_id = $1 AND p.term = q.term)
"""
# Terms between two bounds, found by leaps over the key rather than by reading each term's rows.
VOCABULARY = """
    WITH RECURSIVE leap (term) AS (
        (SELECT p.term FROM rag.postings p WHERE p.tenant_id = $1 AND p.term >= $2 ORDER BY p.term LIMIT 1)
        UNION ALL
        SELECT (SELECT p.term FROM rag.postings p WHERE p.tenant_id = $1 AND p.term > leap.term
                ORDER BY p.term LIMIT 1)
        FROM leap WHERE leap.term IS NOT NULL AND leap.term < $3
    )
    SELECT term FROM leap WHERE term < $3 LIMIT $4
"""

_FOUND = """
    SELECT p.id, p.document_id, d.title, p.body, p.start_byte, p.end_byte, p.headings, d.metadata, best.score
    FROM best
    JOIN rag.passages p ON p.tenant_id = $1 AND p.id = best.id
    JOIN rag.documents d ON d.tenant_id = $1 AND d.id = p.document_id
    ORDER BY best.score DESC, p.document_id, p.ordinal
"""
_FILTERED = """
    {column} IN (
        SELECT p.id FROM rag.passages p JOIN rag.documents d ON d.tenant_id = $1 AND d.id = p.document_id
        WHERE p.tenant_id = $1 AND d.metadata @> $2
    )
"""
_LEXICAL = """
    WITH hit AS (
        SELECT h.passage_id, h.frequency, h.length, q.weight, count(*) OVER (PARTITION BY q.term) AS holders
        FROM unnest($4::text[], $5::float8[]) AS q (term, weight)
        JOIN rag.postings h ON h.tenant_id = $1 AND h.term = q.term
    ), corpus AS (
        SELECT passages, greatest(terms, 1)::float8 / greatest(passages, 1) AS mean
        FROM rag.corpora WHERE tenant_id = $1
    ), best AS (
        SELECT hit.passage_id AS id, sum(
            weight * ln(1 + (corpus.passages - holders + 0.5::float8) / (holders + 0.5::float8))
            * frequency * ({k1} + 1) / (frequency + {k1} * (1 - {b} + {b} * length / corpus.mean))
        ) AS score
        FROM hit CROSS JOIN corpus
        WHERE {filtered}
        GROUP BY hit.passage_id ORDER BY score DESC, id LIMIT $3
    )
"""
# "+ 0" keeps any approximate index out: under row-level security it loses most of a small tenant's neighbours.
_NEAREST = """
    WITH best AS (
        SELECT v.id, 1 - (v.embedding <=> $5::real[]::halfvec) AS score
        FROM rag.passages v
        WHERE v.tenant_id = $1 AND v.embedding_model = $4 AND {filtered}
        ORDER BY (v.embedding <=> $5::real[]::halfvec) + 0 LIMIT $3
    )
"""
_ANY = "$2::jsonb IS NOT NULL"

_BM25 = _LEXICAL.replace("{k1}", f"{K1}::float8").replace("{b}", f"{B}::float8")
LEXICAL = _BM25.replace("{filtered}", _ANY) + _FOUND
LEXICAL_FILTERED = _BM25.replace("{filtered}", _FILTERED.replace("{column}", "hit.passage_id")) + _FOUND
NEAREST = _NEAREST.replace("{filtered}", _ANY) + _FOUND
NEAREST_FILTERED = _NEAREST.replace("{filtered}", _FILTERED.replace("{column}", "v.id")) + _FOUND

# Tables of the schema with a tenant column that row-level security would not bind.
UNBOUND_TABLES = """
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'rag' AND c.relkind IN ('r', 'p') AND c.relname <> 'migrations'
      AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
"""
TABLES = """
    SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'rag' AND c.relkind IN ('r', 'p')
"""
