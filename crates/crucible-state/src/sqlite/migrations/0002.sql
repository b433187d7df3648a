-- Addresses that are told of ends.
CREATE TABLE webhooks (
    id BLOB PRIMARY KEY,
    project TEXT NOT NULL,
    url TEXT NOT NULL,
    secret BLOB NOT NULL,
    -- A JSON array of kinds of events.
    kinds TEXT NOT NULL,
    created INTEGER NOT NULL,
    state TEXT NOT NULL,
    -- How far it was told.
    cursor INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    next_try INTEGER,
    delivered INTEGER NOT NULL,
    given_up INTEGER NOT NULL,
    given_up_in_a_row INTEGER NOT NULL,
    last_delivered INTEGER,
    last_error TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX events_for_webhooks ON events (project, global)
    WHERE kind IN ('finished', 'failed', 'cancelled', 'dead', 'rejected', 'held');
