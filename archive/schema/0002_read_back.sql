-- When the bytes of a message were last read back and found to be right, in
-- nanoseconds since 1970. One that is not here never was.
CREATE TABLE read_back (
    message INTEGER PRIMARY KEY REFERENCES message (id) ON DELETE CASCADE,
    at      INTEGER NOT NULL
) STRICT;
CREATE INDEX read_back_at ON read_back (at);
