-- What a list shows beside what evaluations are found by. Those of an earlier version have none.
ALTER TABLE evaluations ADD COLUMN language TEXT;
-- How long the program ran, in microseconds.
ALTER TABLE evaluations ADD COLUMN wall INTEGER;

-- What an operator set of a backend, where that isn't as usual.
CREATE TABLE backends (
    name TEXT PRIMARY KEY,
    enabled INTEGER NOT NULL,
    -- Evaluations that run on it at one time; none for no bound of its own.
    most_running INTEGER
) STRICT, WITHOUT ROWID;

-- What was found when the attack suite was run from the service.
CREATE TABLE attacks (
    id BLOB PRIMARY KEY,
    created INTEGER NOT NULL,
    -- All but the report, as JSON.
    summary BLOB NOT NULL,
    report BLOB
) STRICT, WITHOUT ROWID;

CREATE INDEX attacks_by_time ON attacks (created);
