"""Floor 5: the HTTP door. JSON in and out, one shape for success, one for problems; OpenAPI 3.1 from the same table.

`table`     every route: method, path, what it does, what it takes and gives; begin reading here
`shapes`    the one success shape, the one problem shape, the headers of every answer
`requests`  what a request says: token, path, query, a bounded and strict body
`queries`   the routes that look: rows, events, cases, stories, proofs, status
`queries_access` windows, reviews, reports · `queries_requests` looks on record, and how people answer
`openapi`   the table as an OpenAPI document · `openapi_doors` the routes beside it
`login`     the browser's way in, by an identity provider
`oauth`     tokens for programs: `/oauth/token`, keys, metadata
`lineage`   OpenLineage's events, from its own clients · `queries_lineage` what rests on what
`ingest`    events from outside: NDJSON and CloudEvents, once and with a receipt
`passkeys`  signing in without a password: `data/` has its pages
`scim`      the door for identity providers · `scim_forms` SCIM's own forms, and what of them we keep
`authzen` OpenID AuthZEN: evaluation, evaluations, search, metadata · `decision_door` the workspace behind it
`logs`      the public logs as tlog-tiles: hashes only, no token
`mlflow`    MLflow's registry REST API, beside the table · `mlflow_calls` its calls, one by one
`witness`   a witness's own door: `jurat witness serve`
`asgi`      the table as an ASGI app
`__main__`  the process of the tree
"""
