"""Floor 4: the walk, and the one place where real things are plugged in.

`walk`       act ── admit ── authorize ── decide ── record: begin reading here
`admit`      who? a token becomes a caller, or nothing · `present` a token as a door received it, with the key that came with it
`turned_away` that somebody who is suspended was refused is on record
`authorize`  may they? roles, resource and context become a decision with its reasons
`attributes` what policies may know, from our own records and the clock
`policies`   the set in force, and any that ever was · `replay` recorded questions put to another set
`why`        who can, what can somebody, why was it so
`census`     who can do what, class by class · `decision_point` what enforcement points ask · `answers_kept` their answers, recorded
`keep`       what an act leaves in the vault (names, token hashes), in the same transaction · `keep_people` of directories and passkeys
`gather`     what the law asks the vault, and what dies there
`connections` what is open by a token that ended is closed · `keep_identity` tokens and sessions · `token_keys` what signs them
`grants`     `/oauth/token`: who may have which token
`login`      at an identity provider · `outgoing` asking it · `sessions` opened on a proof, looked at, ended
`workloads`  whose tokens are exchanged · `issuers` that are believed
`look`       what holds now, for those who may see it
`directory`  what an identity provider sees and says: its people and groups, and nobody else's
`passkeys`   signing in without a password: links, passkeys, sessions
`credentials` through whose hands a person's credentials came; a token changed for one's own
`intake`     what arrives from outside, read strictly
`problems`   the one table from errors to HTTP and exit codes

`wiring`     settings, store, ledger and clock, plugged together
`bootstrap`  a new workspace, and its first operator
`tree`       the process tree: PostgreSQL, sequencer, relay, archive, doors · `process` how a child of it begins and ends
`status`     what runs, and how far each log is sealed
`serving`    what the gateway must know, refreshed as it changes

`evaluate`   evidence: a registered version, measured by Jurat itself · `evaluator` the process whose word is evidence
`measure`    a measurement, asked for · `measure_child` the process that loads the model and measures
`measure_people` what it gives each group · `trials` what it does with rows that are a little wrong
`scan`       two opinions on an artefact before anything loads it · `signatures` made and checked · `features` what goes into a model
`artefacts`  content-addressed bytes · `artefact_store` here or in an object store · `orphans` what nothing speaks of
`release`    what leaves for a stage: bytes, and the word to deploy
`request_stats` how people answer requests, in the open
`rollouts`   a step of a rollout, measured and judged; a roll-back, seen to take effect
`gate_check` a gate, checked and previewed · `gate_reports` JUnit and SARIF of it
`python_policies` policies in Python, asked; `policy_child` the process in which
`explain`    one prediction explained · `explain_child` the process that asks the model · `explained` the numbers
`performance_report` how models did over a time, by segment
`card`       model cards and data sheets: made, checked, recorded · `card_formats` `mlbom` `croissant` as others read them
`soak`       evidence: what the ledger's own predictions say about a version in staging

`ask`        why? one prediction, back to everything it rests on · `graph` events by what they rest on
`ingest`     events from outside: who, may they, once, durable · `outside` the forms they come in · `lanes` connections for them
`repeats`    what was recorded under which idempotency key · `refusals` what was refused at that door
`complete`   is what producers sent all there? gaps, silence, the outbox against the ledger · `watch` who is silent now
`delivery`   notices on their way out of the house
`intents`    what was about to be done, and got no outcome
`registry`   the registry that MLflow's clients know: read by its own indexes
`lineage`    what rests on what, and which predictions were made by it · `openlineage` what pipelines tell of it
`advisories` known flaws of packages, imported and held against locks · `provenance` git, lock, machine: read by Jurat itself
`references` artefacts that lie elsewhere
`versions`   two beside each other, one made again · `zombies` in production, and nobody's
`cases`      abstentions that wait for a person
`timekeeper` what time does by itself: ends, reminders, reviews that fall due
`reviews`    access reviews: use, proposals, the report · `usage` what each grant was used for, from the ledger
`emergency`  break-glass: what was done in a window, its review, the drill
`keeping`    retention at work: what is due, and the run that takes it away · `pruning` the prefixes of logs · `clockwork` when it ran
`erase`      what events say is taken away: request, approval, run, search, certificate · `masks` hidden from the approval on
`records`    reading the ledger, which is an act · `where` conditions on events · `follow` events as they are sealed
`witnessing` a witness and its memory, plugged together
`rotate`     new keys for the logs · `mirroring` the record pushed to an object store
`refold`     state folded again from the ledger, to compare or to repair · `comparing` by the clock
`lost_database` PostgreSQL is gone, and the ledger is not
`mlflow_door` how MLflow's clients show a token, and are told errors · `mlflow_runs` runs and bytes of a tracking server
"""
