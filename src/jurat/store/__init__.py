"""Floor 3: state in PostgreSQL. The only importer of psycopg; knows the domain's rows and events, never the ledger.

`store`     Store and Tx: one act is one transaction; start here
`view`      what holds now, read back as the domain's rows · `kept` rows read before, while their table does not change
`registry`  the MLflow-shaped registry, read with its own indexes · `registry_together` reads that wait, by one statement
`lineage`   what rests on what, walked
`relay`     Relay: the outbox to the ledger, exactly once
`vault`     people and token hashes: what can be erased · `accounts` what directories said · `passkeys` with links and challenges
`proofs`    sessions, accounts at providers, invitations, sign-ins, proofs that were seen
`witness`   a witness's memory in PostgreSQL
`scrub`     what PostgreSQL's files still hold of deleted rows
`rebuild`   the ledger folded again: compare, or put in place
`schema`    numbered migrations; `schema.sql` holds the three laws and the roles
`failures`  driver errors become errors of the house
`connect`   which database a workspace uses, and how each role reaches it
`conninfo`  complete connection strings
`cluster`   the embedded cluster: where it lies, made once, started, stopped
`server`    one PostgreSQL process: started, adopted, stopped
`binaries`  PostgreSQL's programs, and a copy for whoever cannot reach them
`account`   whom the server runs under when we are root
"""
