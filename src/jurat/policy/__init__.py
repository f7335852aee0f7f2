"""Floor 1: the two instruments that say no. Pure: text and values in, verdicts with reasons out.

`metrics`    what a gate may measure: scale, better side, believable range
`conditions` `latency_p99 <= 100ms`: read once, checked against measurements, three verdicts
`governance` policies written in Python, and what they are told
`expressions` conditions joined by `&&` and `||` · `cel` the same in CEL, over facts, too · `gatekinds` what a gate can be
`gatefile`   the gates before `staging` and `production`, strict YAML
`accessrules` duties, conflicts, approvals, break-glass, reviews, strict YAML
`groupfile`  which groups of a directory hold which roles, strict YAML
`retentionfile` how long events are kept and what the law asks for, strict YAML
`plainyaml`  YAML at its plainest, each refusal with its line
`resources`  `models/prod/churn@2.3.1`: paths of what is acted on, as policies see them
`values`     what a request may carry, as Cedar reads it
`policyset`  Cedar policies and their schema, validated together, named by one digest
`policytree` a policy's tree, walked: what its conditions read
`slices`     what Cedar is told of one principal and one resource
`cedar`      one question to Cedar and its answer, by the shortest way
`engine`     may this principal do this? allow or deny, the policies that decided, and the reasons
`compare`    two sets beside each other, and one layout for their text · `sanity` whether a set can be meant
`classes`    questions that no policy can tell apart: asked once, answered for all
`policytests` tests of policies, in YAML beside them · `mutation` how much those tests would notice
`explain`    after a deny: what stood in the way, and which role would have opened it
`defaults/`  the policies that a new workspace starts with, one file a role
"""
