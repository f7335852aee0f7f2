"""Floor 2: what may happen in governance. Pure: no clock, no store, no network; the same input gives the same answer.

`kinds`     the catalogue of events: codes, names, retention classes
`values`    what facts, rows and commands are made of
`facts`     what each kind of event says (its `data`)
`events`    the envelope around a fact; bytes in and out
`commands`  what can be asked for, with the permission each one needs
`rows`      what holds now, one type per table (`row`, `rows_registry`, `rows_identity`, `rows_access`)
`state`     how rows are read; the in-memory state
`evolve`    event → rows: the only way that state changes
`stages`    experiment → development → staging → production → retired
`upstreams` where a model server listens
`roles`     which roles a principal holds now, and which person stands behind it
`requests`  what is one law for all requests: open, shown, whose word · `quorum` how many different people really said yes
`gates`     evidence against the gate file, with three verdicts
`gate_measured` one condition against what was measured · `gate_cel` an expression in CEL
`gate_preview` what is missing, and who can do it
`cards`      model cards and data sheets, from facts
`decisions`  what the policies were asked and said, as it is recorded
`context`   what the walk hands to the law beside state and command
`decide`    command → events: the law; its last lines are the table of contents
`facts_watch` `facts_keeping` `commands_keeping` `decide_keeping` `evolve_keeping`  retention, holds, erasure, silence
`facts_access` `commands_access` `evolve_access`  rules of duties, requests for access, break-glass, reviews
`facts_identity` `commands_identity` `decide_identity` `evolve_identity`  sessions, token keys, providers, trust in workloads
`facts_credentials` `commands_credentials` `evolve_credentials`  credentials in two hands, grants that one person gave
`credentials` whose word is it? · `decide_credentials` who may vouch, who confirms
`duties` what one person may not do beside another · `decide_duties` the rules of it, and notices
`grants` scopes, approvals, ends of grants · `decide_grants` grants and requests for them
`decide_breakglass` past the approvers, in an emergency · `decide_review` every grant looked at again
`facts_people` `commands_people` `decide_people` `evolve_people`  the life of principals, links, passkeys · `decide_directory` SCIM
`endings` what dies with a principal · `known` what the vault tells the law
`facts_policy` `commands_policy` `decide_policy` `evolve_policy`  policies: changes, their approval, a candidate in the shadow
`facts_rollout` `commands_rollout` `decide_rollout` `evolve_rollout` `rows_rollout`  traffic in steps, and back
`facts_signature` `commands_signature` `decide_signature` `evolve_signature` `rows_signature`  signatures on models, and whose count
`traffic` when one is demanded · `decide_shown` what is shown and handed out
`decide_shortening` keeping something for a shorter time
`retention` how long an event is kept, by whose word · `places` sets of events by log and index
`facts_registry` `commands_registry` `decide_registry` `decide_registry_moves` `evolve_registry`  the registry as MLflow's clients know it
`registry` its entries, by name and number · `registry_names` what may be called how, and what is protected · `registry_search` its language
`facts_lineage` `commands_lineage` `rows_lineage` `evolve_lineage`  systems that change, assets, what rests on what
`lineage`   nodes, walks, doubts · `packages` locks and ranges of versions · `osv` `facts_advisories` advisories, many at once
`descriptions` how things may be called
`decide_systems` systems, assets, references · `decide_artefacts` kept bytes
`decide_alarms` who is told when something is wrong by itself
`decide_upstream` what changes upstream, and approvals that reopen
`gate_upstream` at every gate
`decide_access` `decide_models` `decide_requests`  the law by subject
"""
