"""The world around the demo's gateway: the scoring server's process, and the bank's software that asks for predictions."""

from __future__ import annotations

import contextlib
import http.client
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from jurat.app.features import Datatype, FeatureSchema
from jurat.core.errors import Unavailable
from jurat.core.jsonio import dump_json
from jurat.demo.dataset import Row

_START_TIMEOUT_S: Final = 30.0


class Answer(msgspec.Struct, frozen=True):
    """What came back for one applicant."""

    prediction: str
    outcome: str  # released, abstained, blocked
    approved: bool | None
    confidence: float | None
    latency_ms: float
    status: int


@contextlib.contextmanager
def scoring_server(artefact: Path, digest: str, features: Path, version: str, log: Path) -> Iterator[str]:
    """Run a scoring server in a process of its own; yields its base URL.

    Raises:
        Unavailable: it did not start; its log says why.
    """
    life_read, life_write = os.pipe()
    ready_read, ready_write = os.pipe()
    argv = [sys.executable, "-m", "jurat.demo.scoring", "--artefact", str(artefact), "--digest", digest, "--features", str(features)]
    argv += ["--name", "credit", "--version", version, "--port", "0", "--ready-fd", str(ready_write), "--parent-fd", str(life_read)]
    with log.open("ab") as out:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, pass_fds=(life_read, ready_write), start_new_session=True
        )
    os.close(life_read)
    os.close(ready_write)
    try:
        readable, _, _ = select.select([ready_read], [], [], _START_TIMEOUT_S)
        words = os.read(ready_read, 100).split() if readable else []
        if len(words) != 2:
            raise Unavailable("the scoring server did not start", hint=f"its log is `{log}`")
        yield f"http://127.0.0.1:{int(words[1])}"
    finally:
        os.close(ready_read)
        os.close(life_write)
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Bank:
    """The software of the bank: one connection to the gateway, one applicant at a time."""

    def __init__(self, port: int, endpoint: str, token: str, schema: FeatureSchema) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self._path = f"/v2/models/{endpoint}/infer"
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._schema = schema

    def ask(self, applicant: Row) -> Answer:
        """Send one applicant's columns through the gateway, and return what came back."""
        inputs: list[dict[str, Any]] = [
            {
                "name": feature.name,
                "shape": [1],
                "datatype": str(feature.datatype),
                "data": [applicant[feature.name] if feature.datatype is Datatype.BYTES else float(applicant[feature.name])],
            }
            for feature in self._schema.features
        ]
        self._connection.request("POST", self._path, body=dump_json({"inputs": inputs}), headers=self._headers)
        response = self._connection.getresponse()
        body = msgspec.json.decode(response.read())
        parameters = body.get("parameters", {})
        outputs = {tensor["name"]: tensor["data"][0] for tensor in body.get("outputs", []) if tensor.get("data")}
        return Answer(
            prediction=response.headers.get("jurat-prediction-id", ""),
            outcome=str(parameters.get("outcome", "refused" if response.status >= 400 else "")),
            approved=outputs.get("approved"),
            confidence=outputs.get("confidence"),
            latency_ms=float(parameters.get("latency_ms", 0.0)),
            status=response.status,
        )

    def close(self) -> None:
        self._connection.close()
