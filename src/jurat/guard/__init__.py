"""Floor 1: checks that a thing must pass before it goes on. Pure: no clock, no network, no policy of their own.

`filters`    patterns that a text must not contain, all at once, in linear time
`limits`     token buckets with an injected clock
`artefacts`  what a model file is, before anything loads it · `archives` tricks of archives, by their headers
`containers` files of Keras, PyTorch and safetensors · `onnx` operators that are not ONNX's own, by protobuf's bytes
`model_signature` the format of OpenSSF model signatures · `signers` keys and certificates by which they hold
`pickles`    every name that a pickle would import, without running it · `allowed_globals` the names that a model may need
"""
