-- Migration 7: a browser's session ends when nobody used it for a while. Its cookie's row says for how long, and when it was used last.
SET ROLE jurat_owner;

ALTER TABLE vault.token
  ADD COLUMN idle_s double precision NOT NULL DEFAULT 0,  -- 0: however long
  ADD COLUMN used_at timestamptz;                         -- as of a minute ago at most

GRANT SELECT (idle_s, used_at) ON vault.token TO jurat_access_controller, jurat_incident_responder;
RESET ROLE;
