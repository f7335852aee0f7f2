"""The published vector of Standard Webhooks: the one that the reference libraries of all languages sign and verify.

Source: standard-webhooks/standard-webhooks, libraries/*/…test (MIT); the values are also in the documentation of Svix.
"""

from __future__ import annotations

import base64

from jurat.worker.webhook import sign

SECRET = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
SIGNED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_published_signature_comes_out() -> None:
    assert sign([SECRET], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}') == SIGNED


def test_while_secrets_change_each_signs() -> None:
    both = sign([b"x" * 24, SECRET], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}').split(" ")
    assert len(both) == 2
    assert both[1] == SIGNED != both[0]
