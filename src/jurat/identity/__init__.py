"""Floor 1: proofs of who somebody is. Pure: no clock, no network, no store; whoever calls says which keys and which time.

`jose`    signed tokens, read strictly: bounded, one meaning, named algorithms, known keys
`keys`    a signing key, made and kept; its public half, and the names of keys
`access`  Jurat's own access tokens (RFC 9068): what they claim, and the chain in them
`dpop`    proof of possession (RFC 9449): this request was made by whoever holds that key
`oidc`    signing in at somebody else's provider: code, PKCE, ID tokens
`passkeys` WebAuthn: what a browser is asked, and whether what it answers holds
`trust`   workloads of others: a CI system's or a cluster's token, a SPIFFE JWT-SVID, and the rules that believe them
"""
