-- Times are microseconds since 1970. States and kinds are words, so that a person can read them.

CREATE TABLE evaluations (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    project TEXT NOT NULL,
    state TEXT NOT NULL,
    cancellation INTEGER NOT NULL DEFAULT 0,
    priority INTEGER NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    -- The fencing token of the latest try.
    token INTEGER NOT NULL DEFAULT 0,
    node TEXT,
    -- A JSON object. The table of labels is what is searched.
    labels TEXT NOT NULL,
    backend TEXT,
    status TEXT,
    validity TEXT,
    verdict TEXT,
    created INTEGER NOT NULL,
    started INTEGER,
    finished INTEGER,
    version INTEGER NOT NULL DEFAULT 1,
    -- The number of its latest event.
    events INTEGER NOT NULL DEFAULT 0,
    idempotency_key TEXT,
    -- BLAKE3 of what was asked for, for a key that is given again.
    digest BLOB
) STRICT;

CREATE UNIQUE INDEX evaluations_by_key ON evaluations (project, idempotency_key) WHERE idempotency_key IS NOT NULL;
-- Each gives the evaluations that it finds in the order in which they came.
CREATE INDEX evaluations_by_project ON evaluations (project);
CREATE INDEX evaluations_by_state ON evaluations (project, state);
CREATE INDEX evaluations_by_time ON evaluations (project, created);
CREATE INDEX evaluations_by_status ON evaluations (project, status) WHERE status IS NOT NULL;
CREATE INDEX evaluations_by_verdict ON evaluations (project, verdict) WHERE verdict IS NOT NULL;
CREATE INDEX evaluations_unfinished ON evaluations (id) WHERE finished IS NULL;
CREATE INDEX evaluations_by_end ON evaluations (finished) WHERE finished IS NOT NULL;

CREATE TABLE labels (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    evaluation INTEGER NOT NULL,
    PRIMARY KEY (name, value, evaluation)
) STRICT, WITHOUT ROWID;

-- What an evaluation has of documents. `key` is its row times 8 and the document's kind, so that all of one lie together.
CREATE TABLE documents (
    key INTEGER PRIMARY KEY,
    format TEXT NOT NULL,
    -- One of the two: its bytes, or the hash that names the file with them.
    body BLOB,
    blob BLOB
) STRICT;

CREATE INDEX documents_by_blob ON documents (blob) WHERE blob IS NOT NULL;

CREATE TABLE events (
    global INTEGER PRIMARY KEY AUTOINCREMENT,
    evaluation INTEGER NOT NULL,
    number INTEGER NOT NULL,
    project TEXT NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX events_by_number ON events (evaluation, number);
CREATE INDEX events_by_project ON events (project, global);

-- The queue's tasks, in the order in which they came. Leases aren't kept: they end with the process.
CREATE TABLE tasks (
    sequence INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    project TEXT NOT NULL,
    priority INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    -- For a task that is delayed: how long in microseconds, and until when.
    delay INTEGER NOT NULL,
    due INTEGER NOT NULL,
    -- For one that is buried: why.
    reason TEXT
) STRICT;

CREATE TABLE keys (
    id BLOB PRIMARY KEY,
    project TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    role TEXT NOT NULL,
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    revoked INTEGER,
    last_used INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE projects (
    name TEXT PRIMARY KEY,
    most_running INTEGER,
    most_queued INTEGER,
    most_per_day INTEGER
) STRICT, WITHOUT ROWID;
