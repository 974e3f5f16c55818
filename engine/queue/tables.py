"""The tables of the queue's database."""

MIGRATIONS = (
    """
    CREATE TABLE runs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of submission
        id TEXT NOT NULL UNIQUE,
        key TEXT UNIQUE,            -- the idempotency key of the client
        fingerprint TEXT NOT NULL,  -- the digest of the submission, to compare under the same key
        request BLOB NOT NULL,      -- JSON of the RunRequest, compressed with zlib
        title TEXT NOT NULL,
        search TEXT NOT NULL,       -- the texts that a search for outputs looks at
        document TEXT,
        retry_of TEXT,
        state TEXT NOT NULL,
        priority INTEGER NOT NULL,
        place REAL NOT NULL,        -- the order among waiting runs of the same priority
        attempts INTEGER NOT NULL DEFAULT 0,
        device TEXT,
        submitted REAL NOT NULL,
        started REAL,
        finished REAL,
        ending BLOB                 -- JSON of the report, problems and warnings, compressed with zlib
    );
    CREATE INDEX waiting ON runs (priority DESC, place) WHERE state = 'queued';
    CREATE INDEX by_state ON runs (state, number);
    CREATE INDEX ended ON runs (finished DESC, number DESC) WHERE finished IS NOT NULL;

    CREATE TABLE nodes (            -- the state of each step of a run
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        path TEXT NOT NULL,
        state TEXT NOT NULL,        -- JSON of NodeSnapshot
        PRIMARY KEY (run, path)
    ) WITHOUT ROWID;

    CREATE TABLE metrics (
        number INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        path TEXT NOT NULL,
        row TEXT NOT NULL           -- JSON
    );
    CREATE INDEX metrics_of_run ON metrics (run, number);

    CREATE TABLE samples (
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        path TEXT NOT NULL,
        step INTEGER NOT NULL,
        caption TEXT NOT NULL,
        digest TEXT NOT NULL,
        media TEXT NOT NULL,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        data BLOB NOT NULL,
        UNIQUE (run, path, step, caption, digest)
    );
    CREATE INDEX samples_by_digest ON samples (digest);

    CREATE TABLE outputs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        output TEXT NOT NULL,
        place TEXT NOT NULL,        -- JSON of the place in a list
        swept TEXT NOT NULL,        -- JSON of the values of the swept inputs
        type TEXT NOT NULL,
        path TEXT NOT NULL,
        digest TEXT NOT NULL,
        media TEXT NOT NULL,
        size INTEGER NOT NULL,
        made REAL NOT NULL,
        star INTEGER NOT NULL DEFAULT 0,
        tags TEXT NOT NULL DEFAULT '[]',
        UNIQUE (run, output, place, path)
    );
    CREATE INDEX outputs_by_digest ON outputs (digest);

    CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    """,
    """
    ALTER TABLE runs ADD COLUMN notes BLOB;  -- JSON that the client's protocol needs, compressed with zlib

    CREATE TABLE repeats (          -- runs that are submitted again after each end
        id TEXT PRIMARY KEY,        -- the id of the first run
        run TEXT NOT NULL,          -- the id of the current run
        count INTEGER NOT NULL,     -- the number of runs so far
        submission BLOB NOT NULL    -- JSON of the submission, compressed with zlib
    );
    """,
)
"""SQL scripts; script `n` converts a database of version `n` to version `n + 1`. Never change a released
script; add another one."""
