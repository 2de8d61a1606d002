-- compatible-since: 1
-- Knowledge of all tenants. Tenants are separated twice: by the predicate of every query, and by row-level security.
-- No foreign keys: their checks bypass row-level security, and a document is always replaced in one transaction.

CREATE EXTENSION IF NOT EXISTS vector;

-- Counts per tenant for BM25. The row is also the lock that serialises the writers of a tenant.
CREATE TABLE rag.corpora (
    tenant_id text COLLATE "C" NOT NULL CHECK (tenant_id <> '') PRIMARY KEY,
    passages  bigint NOT NULL DEFAULT 0,
    terms     bigint NOT NULL DEFAULT 0
);

CREATE TABLE rag.documents (
    tenant_id       text COLLATE "C" NOT NULL CHECK (tenant_id <> ''),
    id              text COLLATE "C" NOT NULL,
    -- New with every replacement. Shorter than ids, because many rows refer to it.
    key             uuid NOT NULL,
    title           text NOT NULL,
    metadata        jsonb NOT NULL,
    content_hash    bytea NOT NULL,
    embedding_model text,
    size_bytes      bigint NOT NULL,
    passages        integer NOT NULL,
    -- The distinct terms of its postings, to find these by their primary key.
    terms           text[] NOT NULL,
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);

-- Passages and postings have exactly one index each. For a tenant newer than the table statistics the planner expects
-- one row for every condition, picks any index that starts with the tenant, and reads all rows of the tenant.

CREATE TABLE rag.passages (
    tenant_id       text COLLATE "C" NOT NULL CHECK (tenant_id <> ''),
    document_key    uuid NOT NULL,
    ordinal         integer NOT NULL,
    document_id     text COLLATE "C" NOT NULL,
    start_byte      bigint NOT NULL,
    end_byte        bigint NOT NULL,
    headings        text[] NOT NULL,
    body            text NOT NULL,
    length          integer NOT NULL,
    embedding_model text,
    -- No fixed dimension, because models differ; only vectors of the same model are compared.
    embedding       halfvec,
    PRIMARY KEY (tenant_id, document_key, ordinal)
);
-- Stored inline instead of in TOAST: an exact scan is several times faster.
ALTER TABLE rag.passages ALTER COLUMN embedding SET STORAGE PLAIN;

-- Passages by term. Text equality is leakproof, so that the planner uses the key under row-level security; matching a
-- tsvector is not. The count of a term's rows yields the inverse document frequency, which ts_rank lacks.
CREATE TABLE rag.postings (
    tenant_id    text COLLATE "C" NOT NULL CHECK (tenant_id <> ''),
    term         text COLLATE "C" NOT NULL,
    document_key uuid NOT NULL,
    ordinal      integer NOT NULL,
    frequency    integer NOT NULL,
    length       integer NOT NULL,
    PRIMARY KEY (tenant_id, term, document_key, ordinal) INCLUDE (frequency, length)
);

ALTER TABLE rag.corpora ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag.corpora FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON rag.corpora
    USING (tenant_id = NULLIF(current_setting('app.current_tenant_id', true), ''))
    WITH CHECK (tenant_id = NULLIF(current_setting('app.current_tenant_id', true), ''));

ALTER TABLE rag.documents ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag.documents FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON rag.documents
    USING (tenant_id = NULLIF(current_setting('app.current_tenant_id', true), ''))
    WITH CHECK (tenant_id = NULLIF(current_setting('app.current_tenant_id', true), ''));

ALTER TABLE rag.passages ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag.passages FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON rag.passages
    USING (tenant_id = NULLIF(current_setting('app.current_tenant_id', true), ''))
    WITH CHECK (tenant_id = NULLIF(current_setting('app.current_tenant_id', true), ''));

ALTER TABLE rag.postings ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag.postings FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON rag.postings
    USING (tenant_id = NULLIF(current_setting('app.current_tenant_id', true), ''))
    WITH CHECK (tenant_id = NULLIF(current_setting('app.current_tenant_id', true), ''));

GRANT USAGE ON SCHEMA rag TO hocket_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON rag.corpora, rag.documents, rag.passages, rag.postings TO hocket_app;
