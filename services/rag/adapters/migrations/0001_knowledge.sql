-- Knowledge of all tenants, each row bound to its tenant twice: by the predicate of every query, and by these policies.
-- There are no foreign keys: their checks bypass row-level security, and one transaction replaces a whole document.

CREATE EXTENSION IF NOT EXISTS vector;

-- What BM25 must know of a tenant as a whole. Writers of a tenant queue up on its row here.
CREATE TABLE rag.corpora (
    tenant_id text COLLATE "C" NOT NULL CHECK (tenant_id <> '') PRIMARY KEY,
    passages  bigint NOT NULL DEFAULT 0,
    terms     bigint NOT NULL DEFAULT 0
);

CREATE TABLE rag.documents (
    tenant_id       text COLLATE "C" NOT NULL CHECK (tenant_id <> ''),
    id              text COLLATE "C" NOT NULL,
    -- Made anew whenever the document is replaced; short, unlike ids, for the many rows that name it.
    key             uuid NOT NULL,
    title           text NOT NULL,
    metadata        jsonb NOT NULL,
    content_hash    bytea NOT NULL,
    embedding_model text,
    size_bytes      bigint NOT NULL,
    passages        integer NOT NULL,
    -- Each term of its postings once, so that they are found again by their key.
    terms           text[] NOT NULL,
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);

-- Passages and postings have one index each, on purpose. For a tenant that is newer than the statistics the planner
-- expects one row whatever is asked, takes any index that begins with the tenant, and reads all of the tenant.

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
    -- Without a fixed size, as models differ; vectors of different models never meet.
    embedding       halfvec,
    PRIMARY KEY (tenant_id, document_key, ordinal)
);
-- In the row rather than beside it: an exact scan is several times faster.
ALTER TABLE rag.passages ALTER COLUMN embedding SET STORAGE PLAIN;

-- Which passages hold a term. Equality of text is leakproof, so that the key is used under row-level security, which
-- matching a tsvector is not; and counting a term's rows gives the rarity that ts_rank lacks.
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
