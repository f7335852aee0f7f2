"""A real S3 server (SeaweedFS, from a wheel) on loopback, with one bucket and one key; it dies with the test."""

from __future__ import annotations

import json
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

KEY, SECRET, BUCKET = "AKIATEST", "only-for-this-test", "records"


class S3(NamedTuple):
    endpoint: str

    @property
    def config(self) -> dict[str, str]:
        """What a client is told."""
        return {
            "aws_endpoint": self.endpoint, "aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "aws_region": "us-east-1",
        }  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        return {name.upper(): value for name, value in self.config.items()}


def _free_port() -> int:
    # Its own second port is 10,000 above, and must be free too. Whoever looks at the same time begins somewhere else.
    for port in random.sample(range(12_000, 21_900, 7), 1_400):
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            if port not in _given:
                _given.add(port)
                return port
    raise AssertionError("no free port")


_given: set[int] = set()


@contextmanager
def s3_server(directory: Path) -> Iterator[S3]:
    """Run it for the length of the block."""
    weed = shutil.which("weed", path=str(Path(sys.executable).parent))
    assert weed is not None
    identity = {"name": "test", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin", "Read", "Write", "List"]}
    (directory / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (directory / "data").mkdir()
    s3, master, volume, filer = (_free_port() for _ in range(4))
    command = [
        weed, "server", f"-dir={directory / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", f"-s3.port={s3}",
        f"-s3.config={directory / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0", f"-master.port={master}", f"-volume.port={volume}",
        f"-filer.port={filer}", "-master.volumeSizeLimitMB=64",
    ]  # fmt: skip
    log = (directory / "weed.log").open("wb")
    process = subprocess.Popen(command, stdout=log, stderr=log, cwd=directory)
    try:
        found = S3(f"http://127.0.0.1:{s3}")
        _await_bucket(found, process, directory)
        yield found
    finally:
        process.kill()
        process.wait()
        log.close()


def _await_bucket(s3: S3, process: subprocess.Popen[bytes], directory: Path) -> None:
    """Make the bucket: a signed `PUT /records`, over and over until the server is up."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, (directory / "weed.log").read_text()[-2000:]
        try:
            if _signed_put(s3.endpoint) in (200, 409):
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError((directory / "weed.log").read_text()[-2000:])


def _signed_put(endpoint: str) -> int:
    """Return the status of a `PUT` of the bucket, signed by AWS Signature Version 4 (RFC-like steps of its documentation)."""
    import hashlib
    import hmac
    import http.client
    from datetime import UTC, datetime

    host, now = endpoint.removeprefix("http://"), datetime.now(UTC)
    day, at, empty = now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ"), hashlib.sha256(b"").hexdigest()
    names = "host;x-amz-content-sha256;x-amz-date"
    request = f"PUT\n/{BUCKET}\n\nhost:{host}\nx-amz-content-sha256:{empty}\nx-amz-date:{at}\n\n{names}\n{empty}"
    scope = f"{day}/us-east-1/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{SECRET}".encode()
    for part in (day, "us-east-1", "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    connection = http.client.HTTPConnection(host, timeout=5)
    try:
        authorization = f"AWS4-HMAC-SHA256 Credential={KEY}/{scope}, SignedHeaders={names}, Signature={signature}"
        connection.request("PUT", f"/{BUCKET}", headers={"x-amz-content-sha256": empty, "x-amz-date": at, "Authorization": authorization})
        return connection.getresponse().status
    finally:
        connection.close()
