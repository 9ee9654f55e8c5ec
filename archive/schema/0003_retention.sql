-- What retention does: it retires generations, forgets what only they showed,
-- and removes messages that nothing shows any more, some time after that.

-- What retention looks for: the generations that it did not give up.
CREATE INDEX generation_kept ON generation (n) WHERE retired = 0;

-- The decisions that retention and people made, each with its manifest: n is
-- that of the file, at when it was made, manifest the digest of the file.
CREATE TABLE retention (
    n        INTEGER PRIMARY KEY CHECK (n > 0),
    at       INTEGER NOT NULL,
    manifest BLOB NOT NULL
) STRICT;

-- What retention leaves alone: kind 'mailbox' with the name of one, whose
-- every change has a generation that is kept, or kind 'generation' with the
-- number of one.
CREATE TABLE hold (
    kind  TEXT NOT NULL CHECK (kind IN ('mailbox', 'generation')),
    what  TEXT NOT NULL CHECK (what <> ''),
    since INTEGER NOT NULL,
    PRIMARY KEY (kind, what)
) STRICT, WITHOUT ROWID;

-- Messages that lie nowhere any more, and since when that is known. One that
-- comes back is taken out; otherwise it is removed, with its file, when the
-- grace is over.
CREATE TABLE unneeded (
    message INTEGER PRIMARY KEY REFERENCES message (id) ON DELETE CASCADE,
    since   INTEGER NOT NULL
) STRICT;

-- Up to which change rows of placements were removed from a mailbox: whoever
-- knows less of it has to look at all of it.
CREATE TABLE pruned (
    mailbox INTEGER PRIMARY KEY REFERENCES mailbox (id) ON DELETE CASCADE,
    change  INTEGER NOT NULL
) STRICT;
