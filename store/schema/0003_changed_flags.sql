-- Flags, and marks of files, that changed since their message was written
-- last: what stands here goes before what stands there. Flags change more often
-- than anything else, of messages that lie far apart, and each of those has a
-- page of its own in the table message, which is written three times before a
-- run has ended: here a few pages hold hundreds. When there are thousands,
-- Settle writes them where they belong.
--
-- Whatever writes the flags of a message itself takes its row away.
CREATE TABLE changed (
    id           INTEGER PRIMARY KEY,
    local_latest  TEXT NOT NULL,
    remote_latest TEXT NOT NULL,
    stat_latest   TEXT NOT NULL
) STRICT;
CREATE TRIGGER changed_written AFTER UPDATE OF local_flags, remote_flags, stat ON message BEGIN
    DELETE FROM changed WHERE id = NEW.id;
END;
CREATE TRIGGER changed_dropped AFTER DELETE ON message BEGIN
    DELETE FROM changed WHERE id = OLD.id;
END;
