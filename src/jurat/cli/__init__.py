"""Floor 6: `jurat <noun> <verb>`: argv → app → print. Data on stdout, talk on stderr, `--json` everywhere.

`main`       the entry point, and the one place where an error becomes words and an exit code
`nouns`      which noun lives in which module; a module is imported when its noun is used, never for `--help`
`verbs`      the shape of a command: its example, and the options that every command takes
`session`    what every command needs: workspace, token, and the app when it is wanted
`show`       tables, fields and JSON: fair on a terminal, plain and stable in a pipe
`files`      what a command is told in files: strict, bounded, named by line
`access_why` who-can, what-can, why
`replayed`   a replay of decisions, shown
`people`     names for `prn_…` ids, for those who may see them
`workspace`  init, serve, status
`demo`       demo, and how it is told
`ledger`     prove, rebuild
`log`        the logs' checkpoints and tiles
`verify`     the record doubted
`witness`    be a witness; ask witnesses
`events`     events, sql
`archive`    a mirror in an object store: push, verify
`erase`      erasure: request, approve, run, certificate
`retention`  retention and hold: show, apply, run; place, release
`explain`    one prediction, explained to the person concerned
`report`     report: performance by segment
`card`       card: make, sheet, check, record
`mlflow`     MLflow: list, bind, protect, guard, import-run
`gaps`       the gap report, shown
`login`      login, logout, whoami · `signed_in` session: list, revoke · `identity` providers, trust, token keys
`access` `access_requests` access: ask, answer, rules · `breakglass` `review` `inbox`  emergencies, reviews, notices
`model` `model_register` `model_history` `model_signature`  versions: registered, measured, promoted; compared, made again, reviewed; signed
`artefact` `asset` `lineage` `advisory`  bytes by digest; what is versioned like models; what rests on what; what changed upstream
`directory` `passkey`  identity providers; signing in without a password
`credential` whose hands it came through, and a third person's word
`ask` `principal` `producer` `role` `token` `data` `system` `gate` `policy` `request` `endpoint` `rollout` `case`   one noun each
"""
