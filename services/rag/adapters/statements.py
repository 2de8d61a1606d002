"""The SQL of the Postgres store. Each statement names the tenant itself ($1), besides the policy of every table.

Lookups are LATERAL with a limit or a window, which the planner cannot turn into a join: for a tenant that is newer than
the statistics it expects one row whatever is asked, and a join then reads all of the tenant's rows again and again.
"""

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
        (tenant_id, id, key, title, metadata, content_hash, embedding_model, size_bytes, passages, terms)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
# asyncpg sends real[] in binary form; pgvector casts it. Vectors as text would be twenty times slower.
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

# In this order, the corpus last: its row is the lock. Each returns how many rows went, as asyncpg's status.
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
# $2 are the keys of the documents that filters leave, NULL for all.
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
# The order is by an expression that no approximate index serves: under row-level security one would lose most of a
# small tenant's neighbours.
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
