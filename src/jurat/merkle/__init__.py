"""Floor 1: Merkle trees and signed notes, the way transparency logs write them. Pure: no file, no socket, no clock.

`many`       many SHA-256 in one call, by a compiled loop where there is one
`tree`       RFC 6962 hashes, roots, inclusion and consistency proofs
`tile`       names of tlog-tiles resources, and tree nodes read from level arrays
`entry`      the fixed-size records in our logs, and the salted commitment to an event
`checkpoint` the text that a log signs: origin, size, root
`note`       signed notes and their keys: Ed25519 and ML-DSA-44
`cosign`     what a witness signs: cosignatures by Ed25519 and ML-DSA-44
`policy`     tlog-policy files: which logs and witnesses count, and how many must have cosigned
`proof`      `.tlog-proof`: one entry's inclusion, with the checkpoint it leads to
`cose`       the same inclusion as a COSE receipt, for SCITT tools

Whoever calls these decides which keys to trust; nothing here has an opinion about that.
"""
