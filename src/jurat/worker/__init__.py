"""Floor 5: the clocks. What has to happen without anybody asking.

`__main__`  the process: relays the outbox to the ledger within milliseconds, and keeps the archive
"""
