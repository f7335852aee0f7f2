-- Migration 2: more of what can be erased: what a directory says of a person, passkeys, one-time links, challenges.
-- Secrets are here as hashes only; a passkey's public key is no secret, and says who uses it, so it is erasable too.
SET ROLE jurat_owner;

CREATE TABLE vault.account (
  principal text COLLATE "C" PRIMARY KEY,
  directory text COLLATE "C" NOT NULL,  -- the service that speaks for the directory
  user_name text NOT NULL,
  keys text[] NOT NULL,                 -- user name and addresses in one form (`accounts.key`): no two people share one
  external_id text NOT NULL,            -- empty: not said
  document jsonb NOT NULL,              -- as the directory wrote it
  created_at timestamptz NOT NULL,
  changed_at timestamptz NOT NULL
);
CREATE INDEX account_keys ON vault.account USING gin (keys);
CREATE INDEX account_directory ON vault.account (directory, principal);

CREATE TABLE vault.passkey (
  credential_id bytea PRIMARY KEY CHECK (octet_length(credential_id) BETWEEN 1 AND 1023),
  passkey_id text COLLATE "C" NOT NULL UNIQUE,
  principal text COLLATE "C" NOT NULL,
  public_key bytea NOT NULL,
  sign_count bigint NOT NULL,
  label text NOT NULL,
  synced boolean NOT NULL,
  created_at timestamptz NOT NULL,
  used_at timestamptz
);
CREATE INDEX passkey_principal ON vault.passkey (principal);

CREATE TABLE vault.link (
  link_hash bytea PRIMARY KEY CHECK (octet_length(link_hash) = 32),
  link_id text COLLATE "C" NOT NULL UNIQUE,
  principal text COLLATE "C" NOT NULL,
  expires_at timestamptz NOT NULL,
  used_at timestamptz
);
CREATE INDEX link_principal ON vault.link (principal);

-- A challenge is taken away when it is answered: nobody answers it twice.
CREATE TABLE vault.challenge (
  challenge_hash bytea PRIMARY KEY CHECK (octet_length(challenge_hash) = 32),
  bound_to bytea NOT NULL,  -- hash of what the browser holds besides: a link, a session, a cookie made for this
  expires_at timestamptz NOT NULL
);
CREATE INDEX challenge_expires ON vault.challenge (expires_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON vault.account, vault.passkey, vault.link, vault.challenge TO jurat_app;
GRANT SELECT ON vault.account TO jurat_access_controller, jurat_incident_responder;
GRANT SELECT (passkey_id, principal, label, synced, created_at, used_at) ON vault.passkey TO jurat_access_controller, jurat_incident_responder;
GRANT SELECT (link_id, principal, expires_at, used_at) ON vault.link TO jurat_access_controller, jurat_incident_responder;
RESET ROLE;
