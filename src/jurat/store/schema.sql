-- Migration 1: three schemas, three laws, and the roles that keep them. Written for PostgreSQL 15.
-- Run by an account that may create roles and owns the database; everything made here belongs to jurat_owner.

-- Roles ---------------------------------------------------------------------------------------------------------------
-- jurat_owner   makes and rebuilds tables; never used by a door
-- jurat_app     acts: inserts events, changes view.* in the same transaction, keeps the vault
-- jurat_relay   moves the outbox to the ledger: reads and deletes, inserts nothing
-- jurat_reader  reads view.* and outbox.*; never the vault
-- Then the five governance roles. None of them can change what holds: that takes an event. They differ in what they see.
DO $roles$
DECLARE
  name text;
  enough text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
  FOREACH name IN ARRAY ARRAY[
    'jurat_owner', 'jurat_app', 'jurat_relay', 'jurat_reader',
    'jurat_data_owner', 'jurat_access_controller', 'jurat_model_maintainer', 'jurat_compliance_auditor', 'jurat_incident_responder'
  ] LOOP
    BEGIN
      EXECUTE format('CREATE ROLE %I NOLOGIN', name);
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      NULL;  -- roles belong to the server, not to the database: another workspace made it
    END;
    IF name IN ('jurat_owner', 'jurat_app', 'jurat_relay', 'jurat_reader') AND NOT pg_has_role(current_user, name, enough) THEN
      EXECUTE format('GRANT %I TO CURRENT_USER', name);
    END IF;
  END LOOP;
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO jurat_owner, jurat_app, jurat_relay, jurat_reader, jurat_data_owner, '
    'jurat_access_controller, jurat_model_maintainer, jurat_compliance_auditor, jurat_incident_responder', current_database());
END
$roles$;

CREATE SCHEMA outbox AUTHORIZATION jurat_owner;
CREATE SCHEMA view AUTHORIZATION jurat_owner;
CREATE SCHEMA vault AUTHORIZATION jurat_owner;
SET ROLE jurat_owner;

-- outbox: append-only, emptied only by the relay after the ledger's receipt --------------------------------------------
-- The head is locked at the start of every act: acts happen one after the other, and seq has no gaps.
CREATE TABLE outbox.head (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  next_position bigint NOT NULL,  -- of all events, in the order of the acts
  next_seq jsonb NOT NULL,        -- log → next sequence number of the relay in that log
  epoch bigint NOT NULL           -- of the relay as a producer: lives as long as this database
);
INSERT INTO outbox.head VALUES (true, 1, '{}', extract(epoch FROM clock_timestamp())::bigint);

CREATE TABLE outbox.event (
  position bigint PRIMARY KEY,
  log text NOT NULL,
  seq bigint NOT NULL,
  event_id text COLLATE "C" NOT NULL UNIQUE,
  kind_code int NOT NULL,
  raw bytea NOT NULL,
  txid xid8 NOT NULL DEFAULT pg_current_xact_id(),  -- nobody may write it: no role has the column
  UNIQUE (log, seq)
);
CREATE INDEX event_txid ON outbox.event (txid);

CREATE FUNCTION outbox.refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
  RAISE EXCEPTION 'an event in the outbox cannot be changed' USING ERRCODE = 'JU002';
END $$;
CREATE TRIGGER event_unchangeable BEFORE UPDATE OR TRUNCATE ON outbox.event
  FOR EACH STATEMENT EXECUTE FUNCTION outbox.refuse_change();
ALTER TABLE outbox.event ENABLE ALWAYS TRIGGER event_unchangeable;

GRANT USAGE ON SCHEMA outbox TO jurat_app, jurat_relay, jurat_reader, jurat_compliance_auditor;
GRANT SELECT, UPDATE (next_position, next_seq) ON outbox.head TO jurat_app;
GRANT INSERT (position, log, seq, event_id, kind_code, raw) ON outbox.event TO jurat_app;
GRANT SELECT (position) ON outbox.event TO jurat_app;  -- enough to see how many wait
GRANT SELECT ON outbox.head TO jurat_relay, jurat_reader, jurat_compliance_auditor;
GRANT SELECT, DELETE ON outbox.event TO jurat_relay;
GRANT SELECT ON outbox.event TO jurat_reader, jurat_compliance_auditor;

-- view: disposable; no change without an event of the same transaction ------------------------------------------------
-- The function sees the outbox with its owner's eyes; the application cannot read it.
CREATE FUNCTION view.require_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    IF NOT EXISTS (SELECT FROM outbox.event WHERE txid = pg_current_xact_id()) THEN
      RAISE EXCEPTION 'view.% loses a row without an event of this transaction', TG_TABLE_NAME USING ERRCODE = 'JU001';
    END IF;
    RETURN OLD;
  END IF;
  IF NOT EXISTS (SELECT FROM outbox.event WHERE event_id = NEW.as_of AND txid = pg_current_xact_id()) THEN
    RAISE EXCEPTION 'view.% changes without the event of this transaction that it names', TG_TABLE_NAME USING ERRCODE = 'JU001';
  END IF;
  RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION view.require_event() FROM PUBLIC;
GRANT USAGE ON SCHEMA view TO jurat_app, jurat_reader, jurat_data_owner, jurat_access_controller, jurat_model_maintainer,
  jurat_compliance_auditor, jurat_incident_responder;

-- vault: erasable; the only place with names, addresses and the hashes of secrets --------------------------------------
CREATE TABLE vault.person (
  principal text COLLATE "C" PRIMARY KEY,
  name text NOT NULL,
  email text NOT NULL  -- empty: not known
);
CREATE UNIQUE INDEX person_email ON vault.person (lower(email)) WHERE email <> '';

CREATE TABLE vault.token (
  token_hash bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
  token_id text COLLATE "C" NOT NULL UNIQUE,
  principal text NOT NULL,
  chain jsonb NOT NULL,
  scope text NOT NULL,
  expires_at timestamptz NOT NULL,
  revoked_at timestamptz
);
CREATE INDEX token_principal ON vault.token (principal);

GRANT USAGE ON SCHEMA vault TO jurat_app, jurat_access_controller, jurat_incident_responder;
GRANT SELECT, INSERT, UPDATE, DELETE ON vault.person, vault.token TO jurat_app;
GRANT SELECT ON vault.person TO jurat_access_controller, jurat_incident_responder;
GRANT SELECT (token_id, principal, chain, scope, expires_at, revoked_at) ON vault.token
  TO jurat_access_controller, jurat_incident_responder;
RESET ROLE;
