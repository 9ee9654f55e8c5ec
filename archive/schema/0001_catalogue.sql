-- The catalogue of an archive: which messages lay in which mailbox, with which
-- flags, from which generation to which. The bytes of the messages are files
-- beside it; this says what they are and where they belong. It can be made
-- again from the manifests and those files.
--
-- Conventions. A generation is the state that one run left; generations count
-- from 1 and are never given twice. What holds from generation a on, and no
-- longer in generation b, has gen_from a and gen_to b; gen_to NULL says that
-- it still holds. gen_from = gen_to is what came and went within one
-- generation: no generation shows it. A digest is a SHA-256, 32 bytes. Flags
-- are names joined by one space. Moments are nanoseconds since 1970 in UTC,
-- 0 for none. NULL means "does not apply"; "nothing" is '' or 0.

-- Values that belong to the archive as a whole: 'instance' and 'runs' are the
-- marker by which the runs that write to it know it again.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The next number to give in each table whose numbers are handed out; 'change'
-- counts transactions that changed what a mailbox shows. A number is never
-- given twice, also after its row is gone.
CREATE TABLE sequence (
    name TEXT PRIMARY KEY,
    next INTEGER NOT NULL CHECK (next > 0)
) STRICT, WITHOUT ROWID;
INSERT INTO sequence (name, next) VALUES ('mailbox', 1), ('message', 1), ('placement', 1), ('change', 1);

-- One run that changed something. Ended is 0 while it is under way, and of
-- one that was interrupted until the next begins. Complete: the run saw every
-- mailbox, and every message of each was catalogued or is in quarantine. Why
-- tells a person why it is not. Came, went, changed (flags) and moved count
-- messages against the generation before; mailboxes, messages and bytes are
-- what it holds, stored the bytes of the message files that it added. Its
-- effects have change numbers from changes on, the messages that it added
-- numbers from first_message on. Manifest is the digest of its manifest file,
-- NULL until that is written. Retired is when retention gave it up, 0 if it
-- did not.
CREATE TABLE generation (
    n             INTEGER PRIMARY KEY CHECK (n > 0),
    began         INTEGER NOT NULL,
    ended         INTEGER NOT NULL,
    complete      INTEGER NOT NULL CHECK (complete IN (0, 1)),
    why           TEXT NOT NULL,
    came          INTEGER NOT NULL,
    went          INTEGER NOT NULL,
    changed       INTEGER NOT NULL,
    moved         INTEGER NOT NULL,
    mailboxes     INTEGER NOT NULL,
    messages      INTEGER NOT NULL,
    bytes         INTEGER NOT NULL,
    stored        INTEGER NOT NULL,
    changes       INTEGER NOT NULL,
    first_message INTEGER NOT NULL,
    manifest      BLOB,
    retired       INTEGER NOT NULL
) STRICT;

-- A mailbox, from its creation to its removal, whatever it was called. Change
-- is the change counter at the last change of anything in it, messages how
-- many are in it now. One that is removed and made again is another mailbox.
CREATE TABLE mailbox (
    id       INTEGER PRIMARY KEY,
    change   INTEGER NOT NULL,
    messages INTEGER NOT NULL
) STRICT;

-- What a mailbox was called, and when. No two are called the same at once.
CREATE TABLE mailbox_name (
    mailbox  INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
    gen_from INTEGER NOT NULL,
    gen_to   INTEGER,
    name     TEXT NOT NULL CHECK (name <> ''),
    PRIMARY KEY (mailbox, gen_from)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX mailbox_named ON mailbox_name (name) WHERE gen_to IS NULL;

-- A message: bytes that are stored once, however often and wherever they lay.
-- Digest is that of the exact bytes and names the file; size counts them,
-- stored counts those of the file. Canonical is the size with every line end
-- as CRLF, and light, header, folded (with header_size) and body are digests
-- over parts of that, see mail.Identity; body is NULL where it equals digest.
-- Subject, sender and message_id are for people to search by, as readable as
-- they could be made; date is that of the header, in seconds since 1970.
CREATE TABLE message (
    id          INTEGER PRIMARY KEY,
    digest      BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    size        INTEGER NOT NULL,
    stored      INTEGER NOT NULL,
    canonical   INTEGER NOT NULL,
    light       BLOB NOT NULL,
    header      BLOB NOT NULL,
    folded      BLOB NOT NULL,
    header_size INTEGER NOT NULL,
    body        BLOB,
    date        INTEGER,
    subject     TEXT NOT NULL,
    sender      TEXT NOT NULL,
    message_id  TEXT NOT NULL
) STRICT;
CREATE INDEX message_body ON message (body) WHERE body IS NOT NULL;

-- A message in a mailbox: from the generation in which it came there to the
-- one in which it was no longer there. Flags are those that it has now, or had
-- at the end, since generation flags_from; older ones are in past_flags.
-- Change is the change counter at the last change of the row. Uid and
-- uidvalidity are what the message was called where it came from, '' if that
-- is not known. Token is the name that the run gave to the effect, so that one
-- whose outcome it never learned can be found again. Origin is the placement
-- that a move made this one of. Date is the internal date, in seconds since
-- 1970 (NULL if not known), with its nanoseconds and the offset of its time
-- zone in seconds.
CREATE TABLE placement (
    id          INTEGER PRIMARY KEY,
    mailbox     INTEGER NOT NULL REFERENCES mailbox (id),
    change      INTEGER NOT NULL,
    gen_from    INTEGER NOT NULL,
    gen_to      INTEGER,
    flags_from  INTEGER NOT NULL,
    flags       TEXT NOT NULL,
    message     INTEGER NOT NULL REFERENCES message (id),
    origin      INTEGER,
    date        INTEGER,
    date_nsec   INTEGER NOT NULL,
    date_zone   INTEGER NOT NULL,
    uidvalidity TEXT NOT NULL,
    uid         TEXT NOT NULL,
    token       TEXT NOT NULL,
    CHECK (flags_from >= gen_from AND gen_to >= flags_from)
) STRICT;
CREATE INDEX placement_change ON placement (mailbox, change);
CREATE INDEX placement_message ON placement (message);
CREATE INDEX placement_token ON placement (token) WHERE token <> '';

-- Flags that a message in a mailbox had and has no longer.
CREATE TABLE past_flags (
    placement INTEGER NOT NULL REFERENCES placement (id) ON DELETE CASCADE,
    gen_from  INTEGER NOT NULL,
    gen_to    INTEGER NOT NULL CHECK (gen_to > gen_from),
    flags     TEXT NOT NULL,
    PRIMARY KEY (placement, gen_from)
) STRICT, WITHOUT ROWID;

-- Messages that could not be archived, and why: the source would not give
-- them. A generation is complete all the same, as long as it says so.
CREATE TABLE quarantine (
    mailbox     TEXT NOT NULL,
    uidvalidity TEXT NOT NULL,
    uid         TEXT NOT NULL,
    gen_from    INTEGER NOT NULL,
    gen_to      INTEGER,
    why         TEXT NOT NULL,
    PRIMARY KEY (mailbox, uidvalidity, uid, gen_from)
) STRICT, WITHOUT ROWID;
