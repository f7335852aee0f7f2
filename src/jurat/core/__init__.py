"""Floor 0: what every other floor may lean on, and what leans on nothing.

`errors`   the one tree of errors, with codes, details and hints
`ids`      typed, time-ordered identifiers (`evt_…`, `prn_…`)
`clock`    the only source of time; tests inject their own
`jsonio`   strict JSON in, deterministic JSON out
`digests`  `sha256:…` names of bytes, files and folders
`units`    `100ms`, `0.1%`, `2GB`, `48h` as exact numbers with a dimension
`periods`  `P6M`, `P7Y`: periods of the calendar, as laws write them
`settings` `jurat.toml`: one table of keys, types, defaults and help
`workspace` where things lie in a workspace
`outside`  what an event from outside may be: bounds, no secrets, not from the future
`statements` a producer's word about its own stream: opened, heartbeat, closed
`outside`  what an event from outside may be: bounds, no secrets, not from the future
`statements` a producer's word about its own stream: opened, heartbeat, closed
`destinations` where notices may be sent: addresses, checked
`files`    writes that are whole or not there at all
`last_words` what a process says when an error ends it, and how its parent reads it
"""
