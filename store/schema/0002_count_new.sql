-- A first run binds every message of a mailbox, and triggers that count each
-- cost as much as the row itself: a statement that writes many rows first
-- copies them all, where a trigger may read the table. Settle counts the rows
-- that it adds, once a transaction; changes and deletions, which come in
-- many ways, are counted by the triggers that remain.
DROP TRIGGER bound_insert_local;
DROP TRIGGER bound_insert_remote;
