"""RFC 9449's own examples, at their own time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jurat.core.errors import Unauthenticated
from jurat.identity import dpop

VECTORS = json.loads((Path(__file__).parent / "dpop" / "rfc9449_vectors.json").read_text())


@pytest.mark.parametrize(("name", "token"), [("token_proof", ""), ("resource_proof", VECTORS["access_token"])])
def test_the_examples_of_the_rfc_verify_at_their_time_and_not_today(name: str, token: str) -> None:
    example = VECTORS[name]
    urls = [dpop.normal_url(example["htu"])]
    found = dpop.check(example["jwt"], method=example["htm"], urls=urls, now_s=example["iat"] + 1, access_token=token)
    assert (found.jkt, found.jti) == (VECTORS["jkt"], example["jti"])
    with pytest.raises(Unauthenticated) as refused:
        dpop.check(example["jwt"], method=example["htm"], urls=urls, now_s=1_764_000_000, access_token=token)
    assert refused.value.code == "token_proof_time"


def test_the_hash_of_the_access_token_is_the_rfcs() -> None:
    assert dpop.token_hash(VECTORS["access_token"]) == VECTORS["ath"]
