"""Floor 4: the walk, and the one place where real things are plugged in.

`walk`      act ── admit ── authorize ── decide ── record: begin reading here
`admit`     who? a token becomes a caller, or nothing
`authorize` may they? roles, resource and context become a decision with its reasons
`keep`      what an act leaves in the vault (names, token hashes), in the same transaction
`wiring`    settings, store, ledger and clock, plugged together
`tree`      the process tree: PostgreSQL, sequencer, relay, doors
`bootstrap` a new workspace, and its first operator
`measure`   evidence: Jurat evaluates an artefact itself, in a process of its own
`soak`      evidence: what the ledger's own predictions say about a version in staging
`ask`       why? one prediction, back to everything it rests on
`cases`     abstentions that wait for a person
`intake`    what callers send becomes a command, or is refused by name
`look`      what holds now, for those who may see it
`records`   reading the ledger, which is an act: events, SQL, proofs
`refold`    state folded again from the ledger: compared, or put in place
`status`    what runs, and how far each log is sealed
`artefacts` content-addressed bytes
`serving`   what the gateway must know, refreshed as it changes
`problems`  the one table from errors to HTTP and exit codes
"""
