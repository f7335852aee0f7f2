-- Migration 6: through whose hands a credential came. What was handed out before this counts as its person's own until it ends.
SET ROLE jurat_owner;

ALTER TABLE vault.token
  ADD COLUMN hands text[] NOT NULL DEFAULT '{}',                  -- who else made it, or what it came of; empty: nobody else
  ADD COLUMN root text COLLATE "C" NOT NULL DEFAULT '';           -- what it came of, that somebody may vouch for: pky_…, idn_…, tok_…
ALTER TABLE vault.passkey ADD COLUMN hands text[] NOT NULL DEFAULT '{}';
ALTER TABLE vault.link ADD COLUMN hands text[] NOT NULL DEFAULT '{}';
ALTER TABLE vault.invitation ADD COLUMN hands text[] NOT NULL DEFAULT '{}';
ALTER TABLE vault.identity
  ADD COLUMN identity_id text COLLATE "C" NOT NULL DEFAULT '',
  ADD COLUMN hands text[] NOT NULL DEFAULT '{}';

GRANT SELECT (hands, root) ON vault.token TO jurat_access_controller, jurat_incident_responder;
GRANT SELECT (hands) ON vault.passkey TO jurat_access_controller, jurat_incident_responder;
GRANT SELECT (hands) ON vault.link TO jurat_access_controller, jurat_incident_responder;
RESET ROLE;
