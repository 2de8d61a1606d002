-- compatible-since: 1
-- The ledger: one row per vendor call. Rows are inserted and never changed.
CREATE TABLE ratelimit.cost_events (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    event_id uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    kind text NOT NULL CHECK (kind IN ('llm', 'stt', 'tts', 'embedding', 'rerank')),
    provider text NOT NULL CHECK (provider <> ''),
    model text NOT NULL CHECK (model <> ''),
    cost_micro_usd bigint NOT NULL CHECK (cost_micro_usd >= 0),
    quantities jsonb NOT NULL DEFAULT '{}',
    room text NOT NULL DEFAULT '',
    turn_id text NOT NULL DEFAULT '',
    tier text NOT NULL DEFAULT '',
    price_row text NOT NULL DEFAULT '',
    speculative boolean NOT NULL DEFAULT false,
    outcome text NOT NULL CHECK (outcome IN ('ok', 'cancelled', 'failed')),
    -- The tenant is a part of the key: no duplicate-key error can reveal the event ids of another tenant.
    PRIMARY KEY (tenant_id, event_id)
);

CREATE INDEX cost_events_period ON ratelimit.cost_events (tenant_id, occurred_at);

ALTER TABLE ratelimit.cost_events ENABLE ROW LEVEL SECURITY;
-- FORCE applies the policy to the table's owner too. A superuser bypasses it; the service refuses to run as one.
ALTER TABLE ratelimit.cost_events FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON ratelimit.cost_events
    USING (tenant_id = NULLIF(current_setting('app.current_tenant_id', true), ''))
    WITH CHECK (tenant_id = NULLIF(current_setting('app.current_tenant_id', true), ''));

GRANT USAGE ON SCHEMA ratelimit TO hocket_app;
GRANT SELECT, INSERT ON ratelimit.cost_events TO hocket_app;
