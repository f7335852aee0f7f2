"""Floor 5: the clocks. What has to happen without anybody asking.

`__main__`        the process: relays the outbox to the ledger within milliseconds, has checkpoints witnessed
`archive`         a process of its own: keeps the archive up with the ledger
`rounds`          one round after another: what the clocks below have in common
`timekeeping`     writes down what has ended, reminds, opens and closes access reviews
`rollouts`        measures and judges the steps of rollouts, and takes back what fails
`retention`       takes away what is due by the retention table, once a day
`watch`           records that a producer has fallen silent · `intents` that something got no outcome
`comparing`       holds the database against the ledger, once a day
`delivery`        sends notices out of the house · `webhook` signed, by HTTP · `mail` by SMTP
`masks`           hides what an approved erasure hides, whoever was killed before
`witnesses`       gathers cosignatures on the anchor log's checkpoints, and publishes what a quorum cosigned
`exchange`        one HTTP request to somebody who may be slow, broken or lying
`witness_client`  asks one witness over HTTP: away, slow, broken or lying, it holds up nobody
`start_check`     before the sequencer starts: has a witness seen more than we have?
"""
