"""SQL statements of the Postgres store. Each one selects the tenant ($1) itself, in addition to row-level security.

Lookups are LATERAL with a limit or a window, which the planner cannot turn into a join. For a tenant newer than the
table statistics the planner expects one row for every condition, and a join would read all rows of the tenant once per
outer row.
"""

from __future__ import annotations

from services.rag.search.ranking import K1, B

# Locks the tenant's row: serialises the writers of a tenant, so that its counts stay correct.
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
        (tenant_id, id, key, title, metadata, content_hash, embedding_model, size_bytes, passages, terms)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
# asyncpg sends real[] in binary, and pgvector casts it: 20 times faster than vectors as text.
PUT_PASSAGE = """
    INSERT INTO rag.passages
        (tenant_id, document_key, ordinal, document_id, start_byte, end_byte, headings, body, length,
         embedding_model, embedding)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::real[]::halfvec)
"""
PUT_POSTINGS = """
    INSERT INTO rag.postings (tenant_id, document_key, term, ordinal, frequency, length)
    SELECT $1, $2, p.term, p.ordinal, p.frequency, p.length
    FROM unnest($3::text[], $4::integer[], $5::integer[], $6::integer[]) AS p (term, ordinal, frequency, length)
"""

DROP_DOCUMENT = "DELETE FROM rag.documents WHERE tenant_id = $1 AND id = $2 RETURNING key, terms"
DROP_PASSAGES = "DELETE FROM rag.passages WHERE tenant_id = $1 AND document_key = $2 RETURNING length"
DROP_POSTINGS = "DELETE FROM rag.postings WHERE tenant_id = $1 AND document_key = $2 AND term = ANY($3::text[])"

# In this order, the corpus last: its row is the lock. asyncpg returns the number of rows in the status.
DROP_TENANT_POSTINGS = "DELETE FROM rag.postings WHERE tenant_id = $1"
DROP_TENANT_PASSAGES = "DELETE FROM rag.passages WHERE tenant_id = $1"
DROP_TENANT_DOCUMENTS = "DELETE FROM rag.documents WHERE tenant_id = $1"
DROP_CORPUS = "DELETE FROM rag.corpora WHERE tenant_id = $1"

DOCUMENTS = """
    SELECT id, title, passages, size_bytes, updated_at, metadata FROM rag.documents
    WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3
"""
MATCHING_DOCUMENTS = "SELECT key FROM rag.documents WHERE tenant_id = $1 AND metadata @> $2"

UNUSED_TERMS = """
    SELECT q.term FROM unnest($2::text[]) AS q (term)
    WHERE (SELECT true FROM rag.postings p WHERE p.tenant_id = $1 AND p.term = q.term LIMIT 1) IS NULL
"""
# Distinct terms between two bounds: a recursive skip scan over the key, instead of reading each term's rows.
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
    SELECT p.document_key, p.ordinal, p.document_id, d.title, p.body, p.start_byte, p.end_byte, p.headings, d.metadata,
        best.score
    FROM best
    CROSS JOIN LATERAL (
        SELECT * FROM rag.passages
        WHERE tenant_id = $1 AND document_key = best.document_key AND ordinal = best.ordinal LIMIT 1
    ) AS p
    CROSS JOIN LATERAL (SELECT * FROM rag.documents WHERE tenant_id = $1 AND id = p.document_id LIMIT 1) AS d
    ORDER BY best.score DESC, p.document_id, p.ordinal
"""
# $2: keys of the documents that match the filters, NULL for all.
_LEXICAL = """
    WITH hit AS (
        SELECT h.*, q.weight
        FROM unnest($4::text[], $5::float8[]) AS q (term, weight)
        CROSS JOIN LATERAL (
            SELECT p.document_key, p.ordinal, p.frequency, p.length, count(*) OVER () AS holders
            FROM rag.postings p WHERE p.tenant_id = $1 AND p.term = q.term
        ) AS h
        WHERE $2::uuid[] IS NULL OR h.document_key = ANY($2::uuid[])
    ), corpus AS (
        SELECT passages, greatest(terms, 1)::float8 / greatest(passages, 1) AS mean
        FROM rag.corpora WHERE tenant_id = $1
    ), best AS (
        SELECT document_key, ordinal, sum(
            weight * ln(1 + (corpus.passages - holders + 0.5::float8) / (holders + 0.5::float8))
            * frequency * ({k1} + 1) / (frequency + {k1} * (1 - {b} + {b} * length / corpus.mean))
        ) AS score
        FROM hit CROSS JOIN corpus
        GROUP BY document_key, ordinal ORDER BY score DESC, document_key, ordinal LIMIT $3
    )
"""
# Ordered by an expression that an approximate index cannot serve: with row-level security, such an index would miss
# most neighbours of a small tenant.
_NEAREST = """
    WITH best AS (
        SELECT v.document_key, v.ordinal, 1 - (v.embedding <=> $5::real[]::halfvec) AS score
        FROM rag.passages v
        WHERE v.tenant_id = $1 AND v.embedding_model = $4
            AND ($2::uuid[] IS NULL OR v.document_key = ANY($2::uuid[]))
        ORDER BY score DESC LIMIT $3
    )
"""
LEXICAL = _LEXICAL.replace("{k1}", f"{K1}::float8").replace("{b}", f"{B}::float8") + _FOUND
NEAREST = _NEAREST + _FOUND

# Tables of the schema on which row-level security is not enabled and forced.
UNBOUND_TABLES = """
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'rag' AND c.relkind IN ('r', 'p') AND c.relname <> 'migrations'
      AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
"""
