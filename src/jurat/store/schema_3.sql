-- Migration 3: what proves somebody until it is used or over: tokens that belong to a session or a key, sessions' secrets,
-- accounts at providers, invitations, sign-ins under way, proofs that were seen. Secrets are here as hashes only.
SET ROLE jurat_owner;

ALTER TABLE vault.token
  ADD COLUMN session_id text COLLATE "C" NOT NULL DEFAULT '',  -- with which it ends; empty: of none
  ADD COLUMN jkt text NOT NULL DEFAULT '',                     -- thumbprint of the key that must come with it
  ADD COLUMN audience text NOT NULL DEFAULT '';                -- doors, separated by spaces; empty: every door
CREATE INDEX token_session ON vault.token (session_id) WHERE session_id <> '';

-- What renews a session's tokens. It changes with each use; the one before betrays whoever still has it.
CREATE TABLE vault.session (
  session_id text COLLATE "C" PRIMARY KEY,
  secret_hash bytea NOT NULL UNIQUE CHECK (octet_length(secret_hash) = 32),
  previous_hash bytea UNIQUE CHECK (octet_length(previous_hash) = 32),
  principal text COLLATE "C" NOT NULL,
  expires_at timestamptz NOT NULL
);

CREATE TABLE vault.identity (
  issuer text COLLATE "C" NOT NULL,
  subject text COLLATE "C" NOT NULL,  -- the provider's name for the account; may be personal
  principal text COLLATE "C" NOT NULL,
  linked_at timestamptz NOT NULL,
  PRIMARY KEY (issuer, subject)
);
CREATE INDEX identity_principal ON vault.identity (principal);

CREATE TABLE vault.invitation (
  secret_hash bytea PRIMARY KEY CHECK (octet_length(secret_hash) = 32),
  principal text COLLATE "C" NOT NULL,
  expires_at timestamptz NOT NULL
);

-- A sign-in that was sent to a provider, until it comes back. Taken away when it does: nobody comes back twice.
CREATE TABLE vault.login (
  state_hash bytea PRIMARY KEY CHECK (octet_length(state_hash) = 32),
  browser_hash bytea NOT NULL CHECK (octet_length(browser_hash) = 32),
  provider text NOT NULL,
  nonce text NOT NULL,
  verifier text NOT NULL,
  redirect_uri text NOT NULL,
  invitation_hash bytea,
  expires_at timestamptz NOT NULL
);

-- Proofs that were seen, by every worker. Not logged: after a crash it is empty, so proofs made before the server's start are refused.
CREATE UNLOGGED TABLE vault.seen_proof (
  proof_hash bytea PRIMARY KEY CHECK (octet_length(proof_hash) = 32),
  expires_at timestamptz NOT NULL
);
CREATE INDEX seen_proof_expires ON vault.seen_proof (expires_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON vault.session, vault.identity, vault.invitation, vault.login, vault.seen_proof TO jurat_app;
GRANT SELECT ON vault.identity TO jurat_access_controller, jurat_incident_responder;
GRANT SELECT (session_id, jkt, audience) ON vault.token TO jurat_access_controller, jurat_incident_responder;
GRANT SELECT (session_id, principal, expires_at) ON vault.session TO jurat_access_controller, jurat_incident_responder;
RESET ROLE;
