-- The index of one account: what godwit remembers between two runs. It says
-- what was in step when a run last looked, so that the next run can tell what
-- changed since, and on which side. It holds no mail. If it is lost, nothing
-- is lost but that knowledge: the next run matches the mail of both sides anew.
--
-- Conventions. A side is 0 (local) or 1 (remote). A ref names a message
-- inside one mailbox and one epoch of one side; only that side understands it.
-- A digest is a SHA-256, 32 bytes. Flags are names joined by one space, as
-- mail.FlagSet.String writes them. Moments are nanoseconds since 1970 in UTC,
-- 0 for none. NULL means "does not apply"; "nothing" is '' or 0.

-- Values that belong to the account as a whole: its instance, the number of
-- its runs, the mode of the last run, the server and user it is bound to. The
-- keys belong to the engine.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The next number to give in each table whose numbers are handed out. A number
-- is never given twice, also after its row is gone: the event log, pending
-- changes and kept messages go on naming it.
CREATE TABLE sequence (
    name TEXT PRIMARY KEY,
    next INTEGER NOT NULL CHECK (next > 0)
) STRICT, WITHOUT ROWID;
INSERT INTO sequence (name, next) VALUES ('message', 1), ('mailbox', 1), ('intent', 1), ('run', 1);

-- A pair of mailboxes, one on each side. It outlives any change of name.
-- Dormant: out of scope at the last run. Its messages are remembered and
-- nothing is concluded from them.
CREATE TABLE mailbox (
    id      INTEGER PRIMARY KEY,
    role    TEXT NOT NULL,
    dormant INTEGER NOT NULL CHECK (dormant IN (0, 1))
) STRICT;

-- One side's half of a pair; always both halves are there. Name is '' if the side has
-- never had the mailbox; otherwise no two mailboxes of a side have one name.
-- Epoch gives the refs their meaning (UIDVALIDITY). Object is the side's own
-- evidence of identity under another name (MAILBOXID, an inode). Cursor says
-- how far the side has been seen; '' asks for a full comparison, and it is ''
-- while anything is pending there. Next is the highest UIDNEXT seen. Full_at
-- and full_runs tell when the last full comparison was, and how many runs
-- ago. Missing: the side lists the mailbox no longer, and that is held.
CREATE TABLE mailbox_side (
    mailbox   INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    side      INTEGER NOT NULL CHECK (side IN (0, 1)),
    name      TEXT NOT NULL,
    epoch     TEXT NOT NULL,
    object    TEXT NOT NULL,
    cursor    TEXT NOT NULL,
    next      INTEGER NOT NULL,
    full_at   INTEGER NOT NULL,
    full_runs INTEGER NOT NULL,
    no_insert INTEGER NOT NULL CHECK (no_insert IN (0, 1)),
    no_flags  INTEGER NOT NULL CHECK (no_flags IN (0, 1)),
    no_delete INTEGER NOT NULL CHECK (no_delete IN (0, 1)),
    missing   INTEGER NOT NULL CHECK (missing IN (0, 1)),
    PRIMARY KEY (mailbox, side)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX mailbox_name ON mailbox_side (side, name) WHERE name <> '';

-- A message, and where it lies on each side. A side without a place has NULL
-- for mailbox, epoch and ref together; its flags are remembered all the same,
-- as the base for when it is found there again. State is 0 if and only if
-- both sides have a place, otherwise it says what that waits for: 1 to be
-- found or copied, 2 for another mode or other rights, 3 for its mailbox to
-- come into scope.
--
-- Flags are the base, a side: what the side was last known to hold when
-- everything had been carried over.
--
-- The identity is that of the local side; 0, '' and NULL stand for what is
-- not known. A remote_ column that tells of identity is NULL where the remote side
-- has the same, as is usual, and else holds its own (X'' for a digest that is
-- not known): a server may rewrite, and line ends differ on disk.
--
-- Stat is the mark of the stored file. Date is the time of arrival, in seconds
-- since 1970, NULL if not known, with its nanoseconds and the offset of
-- its time zone in seconds.
--
-- What a full comparison reads stands first, the digests last.
CREATE TABLE message (
    id            INTEGER PRIMARY KEY,
    local_box     INTEGER REFERENCES mailbox (id) DEFERRABLE INITIALLY DEFERRED,
    local_epoch   TEXT,
    local_ref     TEXT,
    local_flags   TEXT NOT NULL,
    remote_box    INTEGER REFERENCES mailbox (id) DEFERRABLE INITIALLY DEFERRED,
    remote_epoch  TEXT,
    remote_ref    TEXT,
    remote_flags  TEXT NOT NULL,
    stat          TEXT NOT NULL,
    state         INTEGER NOT NULL,
    date          INTEGER,
    date_nsec     INTEGER NOT NULL,
    date_zone     INTEGER NOT NULL,
    local_global  TEXT NOT NULL,
    local_size    INTEGER NOT NULL,
    local_light   BLOB,
    local_header  BLOB,
    local_body    BLOB,
    local_wire    BLOB,
    remote_global TEXT,
    remote_size   INTEGER,
    remote_light  BLOB,
    remote_header BLOB,
    remote_body   BLOB,
    remote_wire   BLOB,
    CHECK ((local_ref IS NULL) = (local_box IS NULL) AND (local_epoch IS NULL) = (local_box IS NULL)),
    CHECK ((remote_ref IS NULL) = (remote_box IS NULL) AND (remote_epoch IS NULL) = (remote_box IS NULL)),
    CHECK (state BETWEEN 0 AND 3 AND (state = 0) = (local_box IS NOT NULL AND remote_box IS NOT NULL)),
    CHECK (local_ref <> '' AND remote_ref <> '')
) STRICT;
-- A place belongs to one message: a ref is bound once.
CREATE UNIQUE INDEX message_local ON message (local_box, local_epoch, local_ref) WHERE local_box IS NOT NULL;
CREATE UNIQUE INDEX message_remote ON message (remote_box, remote_epoch, remote_ref) WHERE remote_box IS NOT NULL;
-- Those that wait for something are few among many.
CREATE INDEX message_waiting ON message (state) WHERE state <> 0;

-- How many messages are bound in each mailbox of each side, so that a run that
-- finds nothing changed need not read an entry for every message. Triggers
-- keep it; a count of 0 may stay.
CREATE TABLE bound (
    box  INTEGER NOT NULL,
    side INTEGER NOT NULL,
    n    INTEGER NOT NULL,
    PRIMARY KEY (box, side)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER bound_insert_local AFTER INSERT ON message WHEN NEW.local_box IS NOT NULL BEGIN
    INSERT INTO bound VALUES (NEW.local_box, 0, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER bound_insert_remote AFTER INSERT ON message WHEN NEW.remote_box IS NOT NULL BEGIN
    INSERT INTO bound VALUES (NEW.remote_box, 1, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER bound_delete_local AFTER DELETE ON message WHEN OLD.local_box IS NOT NULL BEGIN
    UPDATE bound SET n = n - 1 WHERE box = OLD.local_box AND side = 0;
END;
CREATE TRIGGER bound_delete_remote AFTER DELETE ON message WHEN OLD.remote_box IS NOT NULL BEGIN
    UPDATE bound SET n = n - 1 WHERE box = OLD.remote_box AND side = 1;
END;
CREATE TRIGGER bound_move_local AFTER UPDATE OF local_box ON message WHEN OLD.local_box IS NOT NEW.local_box BEGIN
    UPDATE bound SET n = n - 1 WHERE box = OLD.local_box AND side = 0;
    INSERT INTO bound SELECT NEW.local_box, 0, 1 WHERE NEW.local_box IS NOT NULL ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER bound_move_remote AFTER UPDATE OF remote_box ON message WHEN OLD.remote_box IS NOT NEW.remote_box BEGIN
    UPDATE bound SET n = n - 1 WHERE box = OLD.remote_box AND side = 1;
    INSERT INTO bound SELECT NEW.remote_box, 1, 1 WHERE NEW.remote_box IS NOT NULL ON CONFLICT DO UPDATE SET n = n + 1;
END;

-- Messages that a server would not store twice: told to append a copy, it
-- named the place of one that it had. Such a message has no place of its own
-- on that side; the alias says which place stands for it, so that it is not
-- appended again in every run.
CREATE TABLE alias (
    row   INTEGER NOT NULL REFERENCES message (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    side  INTEGER NOT NULL CHECK (side IN (0, 1)),
    box   INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    epoch TEXT NOT NULL,
    ref   TEXT NOT NULL CHECK (ref <> ''),
    PRIMARY KEY (row, side)
) STRICT, WITHOUT ROWID;
CREATE INDEX alias_place ON alias (box, side, epoch, ref);

-- An effect that is not idempotent, written before it is tried and taken
-- away when its outcome is recorded. One that is found at the start of a run
-- was left by a run that died: the side is asked what became of it. Kind is
-- plan.IntentKind. Box and next are those of the mailbox that it concerns, with
-- its epoch, before the effect; from_ is where the message lay. Boxes and rows
-- are not bound to their tables: an intent must survive whatever becomes of them.
CREATE TABLE intent (
    id         INTEGER PRIMARY KEY,
    kind       INTEGER NOT NULL,
    side       INTEGER NOT NULL CHECK (side IN (0, 1)),
    box        INTEGER NOT NULL,
    from_box   INTEGER NOT NULL,
    from_ref   TEXT NOT NULL,
    from_epoch TEXT NOT NULL,
    row        INTEGER NOT NULL,
    epoch      TEXT NOT NULL,
    next       INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    flags      TEXT NOT NULL,
    date       INTEGER,
    date_nsec  INTEGER NOT NULL,
    date_zone  INTEGER NOT NULL,
    stat       TEXT NOT NULL,
    token      TEXT NOT NULL,
    hint_uid   INTEGER NOT NULL,
    global     TEXT NOT NULL,
    size       INTEGER NOT NULL,
    light      BLOB,
    header     BLOB,
    body       BLOB,
    wire       BLOB
) STRICT;

-- A change that was seen and is not carried over yet, for people to read and
-- to pace the retries. The change itself will be seen again, because the
-- cursor of its mailbox is '' (mailbox_side). Kind is plan.Kind. Row is 0 for a
-- message that is new, box 0 where no mailbox is concerned.
CREATE TABLE pending (
    side   INTEGER NOT NULL CHECK (side IN (0, 1)),
    box    INTEGER NOT NULL,
    ref    TEXT NOT NULL,
    kind   INTEGER NOT NULL,
    row    INTEGER NOT NULL,
    why    TEXT NOT NULL,
    text   TEXT NOT NULL,
    tries  INTEGER NOT NULL,
    since  INTEGER NOT NULL,
    next   INTEGER NOT NULL,
    global TEXT NOT NULL,
    size   INTEGER NOT NULL,
    light  BLOB,
    header BLOB,
    body   BLOB,
    wire   BLOB,
    PRIMARY KEY (side, box, ref, kind, row)
) STRICT, WITHOUT ROWID;

-- What a side will not store, for a reason of its own, noted once: a keyword,
-- messages in a mailbox that is read-only. It is no fault, and not retried.
CREATE TABLE decline (
    side INTEGER NOT NULL CHECK (side IN (0, 1)),
    box  INTEGER NOT NULL,
    what TEXT NOT NULL,
    text TEXT NOT NULL,
    at   INTEGER NOT NULL,
    PRIMARY KEY (side, box, what)
) STRICT, WITHOUT ROWID;

-- Deletions of the last 24 hours, for the guard against catastrophe. Those
-- that the user accepted do not count.
CREATE TABLE loss (
    id       INTEGER PRIMARY KEY,
    box      INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    count    INTEGER NOT NULL,
    accepted INTEGER NOT NULL CHECK (accepted IN (0, 1))
) STRICT;
CREATE INDEX loss_at ON loss (at);

-- Deletions that the guard holds until the user accepts or rejects them; what
-- is accepted is exactly what stands here. Side is where the message was deleted.
CREATE TABLE held (
    row   INTEGER PRIMARY KEY REFERENCES message (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    box   INTEGER NOT NULL,
    side  INTEGER NOT NULL CHECK (side IN (0, 1)),
    since INTEGER NOT NULL
) STRICT;
CREATE INDEX held_box ON held (box);

-- The log that answers "why did this vanish?". It names mailboxes as they
-- were called then (target: where something was moved to), and keeps the number
-- and the digest of messages that are long gone, and where one came its
-- Message-ID, for a person to ask by. AUTOINCREMENT keeps the order of writing for good. There is no index
-- beside it, because every message that is copied writes here, and a person asks
-- rarely: reading a million lines takes less than a second.
CREATE TABLE event (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    run        INTEGER NOT NULL,
    verb       TEXT NOT NULL,
    side       INTEGER NOT NULL CHECK (side IN (0, 1)),
    mailbox    TEXT NOT NULL,
    target     TEXT NOT NULL,
    row        INTEGER NOT NULL,
    digest     BLOB,
    message_id TEXT NOT NULL,
    text       TEXT NOT NULL
) STRICT;

-- Runs that changed something or failed. Counts are a side, by where the
-- effect was.
CREATE TABLE run (
    id            INTEGER PRIMARY KEY,
    began         INTEGER NOT NULL,
    ended         INTEGER NOT NULL,
    exit          INTEGER NOT NULL,
    local_gains   INTEGER NOT NULL,
    remote_gains  INTEGER NOT NULL,
    local_losses  INTEGER NOT NULL,
    remote_losses INTEGER NOT NULL,
    local_flags   INTEGER NOT NULL,
    remote_flags  INTEGER NOT NULL,
    local_moves   INTEGER NOT NULL,
    remote_moves  INTEGER NOT NULL,
    bytes_in      INTEGER NOT NULL,
    bytes         INTEGER NOT NULL,
    text          TEXT NOT NULL
) STRICT;

-- What godwit deleted and keeps for a while, so that it can be put back. File is
-- the name under which the bytes lie in the undo store; side and mailbox tell
-- where it was deleted, as the mailbox was called then, and why tells a person
-- what for.
CREATE TABLE kept (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    side       INTEGER NOT NULL CHECK (side IN (0, 1)),
    mailbox    TEXT NOT NULL,
    why        TEXT NOT NULL,
    file       TEXT NOT NULL CHECK (file <> ''),
    deleted_at INTEGER NOT NULL,
    until      INTEGER NOT NULL,
    flags      TEXT NOT NULL,
    date       INTEGER,
    date_nsec  INTEGER NOT NULL,
    date_zone  INTEGER NOT NULL,
    global     TEXT NOT NULL,
    size       INTEGER NOT NULL,
    light      BLOB,
    header     BLOB,
    body       BLOB,
    wire       BLOB
) STRICT;
CREATE INDEX kept_until ON kept (until);
CREATE INDEX kept_body ON kept (body);
