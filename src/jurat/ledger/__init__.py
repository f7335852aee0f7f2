"""Floor 3: the log's life. Journal, sequence, tree, seal; archive, query; prove, verify.

    producers ── client ── wire ── server ── desk ── engine ──┬── sequencer   index, commitment, entry
                                                              ├── journal     fdatasync == ACKNOWLEDGE
                                                              └── arrays      entries and levels, unsynced
    publish (each second)   sync, read back, re-hash, sign → lock store == COMMIT → anchor → public checkpoint
    archive (follower)      journal → Parquet → manifest;  query answers from both

Begin with `journal`, then `engine`, `publish`, `recover`.

Formats      `layout` names and places · `record` a journal record · `journal` segments, groups, damage · `arrays` flat arrays
             `lockstore` last signed checkpoints · `receipt` · `keys` one seed, every key · `wire` messages and frames
Writing      `sequencer` indices and commitments · `engine` the write path · `publish` sealing · `recover` the start
             `producers` what entries say about producers · `salts` the newest salts · `create` the birth of logs
             `inflate` packed bodies, unpacked within a bound
The process  `daemon` · `memory` · `server` sockets · `desk` requests and answers · `endpoint` the socket's place · `crash_points`
Its clients  `client` blocking · `async_client` for the gateway · `stream` what a producer knows of its own numbers
Archive      `archive` the follower · `rows` `shred` `times` columns of an event · `parts` Parquet · `manifest` which count · `compact`
Forgetting   `erase` rows made empty · `expire` rows taken out · `gone` what is masked, what has expired · `claim` whose the archive is
             `pruned` a log without its prefix · `minimum` the same, as a stranger believes it
             `pick` single events · `search` for what might be left
Queries      `query` one answer from two sources · `stored` `tail` what they are made of · `sql` `sql_child` locked DuckDB
Proofs       `prove` `evidence` one file that verifies offline · `tiles` tlog-tiles out of the arrays · `export` as plain files
Elsewhere    `objects` an object store · `mirror` the record in one · `verify_mirror` the same, doubted
             `consistency` one state continues another · `data/verify_log.py` the stand-alone verifier that is handed out
Witnesses    `witness` the law: may this be cosigned? · `witness_desk` one witness · `witness_store` its memory
             `witnessed` our own checkpoint, as a quorum cosigned it · `witness_git` a git repository as a poor man's witness
Verifying    `verify` a whole ledger · `verify_checkpoints` `verify_log` `verify_journal` `verify_parts` `verify_events` `verify_names`
             `verify_witnesses` a quorum's word · `verify_tombstones` what may be gone, by the ledger's own word
             `verify_public` what everybody can see, by way of a `tile_source`
             `verify_sizes` nothing that could hold us up · `verify_crew` several processes · `verify_receipts` promises kept
             `locate` `faults` `verdict` from what was seen to faults with names
             `completeness` is every producer's stream whole? · `rebuild_range` a stretch's hashes from the archive's rows alone
             `voices` who was heard of last
"""
