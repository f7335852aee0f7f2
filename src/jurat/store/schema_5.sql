-- Migration 5: the head says when each table of view last changed. Whoever keeps rows that they read knows which of them still hold.
SET ROLE jurat_owner;

ALTER TABLE outbox.head ADD changed jsonb NOT NULL DEFAULT '{}';  -- table → position of the last event that changed it; below 0: a rebuild
GRANT UPDATE (changed) ON outbox.head TO jurat_app;

RESET ROLE;
