-- Migration 4: events wait in the outbox as they are. A compressed one could not be found by a search for its bytes after an erasure.
SET ROLE jurat_owner;

ALTER TABLE outbox.event ALTER COLUMN raw SET STORAGE EXTERNAL;

RESET ROLE;
