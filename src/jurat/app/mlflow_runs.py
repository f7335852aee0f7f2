"""What a tracking server tells of a run or a version, read strictly; and the digest of the bytes behind a version.

Its metrics become claims: nobody here measured them. Credentials come from the environment that MLflow's own clients
read, go only where TLS or loopback keeps them, and are in no event.
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
import os
import re
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from jurat.app.intake import parse_json
from jurat.core.digests import digest_file
from jurat.core.errors import Malformed, NotFound, Unavailable
from jurat.core.outside import is_secret_name
from jurat.domain.commands_registry import ImportRun
from jurat.domain.values import ClaimedMetric, DatasetInput

_TIMEOUT_S: Final = 10.0
_MOST_BYTES: Final = 16 * 1024 * 1024
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?\Z")
_NO_NUMBERS: Final = ("NaN", "Infinity", "-Infinity")
_HIDDEN: Final = "not recorded: its name says that it is a secret"


def read_run(tracking: str, run_id: str, *, version: str = "") -> ImportRun:
    """Return what a tracking server says of a run, as a command to take it over.

    Raises:
        NotFound: it knows no such run.
        Malformed: what it says is no run: a metric that is a text, a tag without a key.
        Unavailable: it does not answer.
    """
    found = _ask(tracking, "runs/get", {"run_id": run_id}).get("run")
    if not isinstance(found, dict):
        raise Malformed(f"`{_shown(tracking)}` answers without a run")
    info, data, inputs = (_object(found, key) for key in ("info", "data", "inputs"))
    if str(info.get("run_id") or info.get("run_uuid")) != run_id:
        raise Malformed(f"`{_shown(tracking)}` answers with another run than `{run_id[:60]}`")
    tags = {key: text for key, text in _pairs(data, "tags").items() if not key.startswith("mlflow.log-model")}
    commit = tags.get("mlflow.source.git.commit", "")
    return ImportRun(
        run_id=run_id,
        tracking=_shown(tracking),
        experiment_id=str(info.get("experiment_id", "")),
        status=str(info.get("status", "")),
        started_ms=_whole(info, "start_time"),
        ended_ms=_whole(info, "end_time"),
        params={key: _HIDDEN if is_secret_name(key) else text for key, text in _pairs(data, "params").items()},
        claimed_metrics=[_metric(each) for each in _list(data, "metrics")],
        tags={key: _HIDDEN if is_secret_name(key) else text for key, text in tags.items()},
        datasets=[_dataset(each) for each in _list(inputs, "dataset_inputs")],
        source_commit=commit if _COMMIT.fullmatch(commit) else "",
        source_name=tags.get("mlflow.source.name", ""),
        version=version,
    )


def read_entry(tracking: str, name: str, number: int) -> tuple[str, int]:
    """Return source and time (ms) of a version in another registry."""
    found = _ask(tracking, "model-versions/get", {"name": name, "version": str(number)}).get("model_version")
    if not isinstance(found, dict) or not isinstance(found.get("source"), str):
        raise Malformed(f"`{_shown(tracking)}` answers without a version")
    return found["source"], _whole(found, "creation_timestamp")


def digest_of(path: Path) -> str:
    """Return the digest of the bytes that stand behind a version: the weights file, as it was fetched from its source.

    Raises:
        NotFound, Malformed: there is no such file, or it is none.
    """
    if path.is_dir():
        raise Malformed(f"`{path}` is a folder", hint="name the weights file in it, such as `model.pkl`")
    try:
        return digest_file(path)
    except FileNotFoundError:
        raise NotFound(f"there is no file `{path}`") from None
    except OSError as error:
        raise Malformed(f"`{path}` cannot be read: {(error.strerror or 'failed').lower()}") from error


def _ask(tracking: str, call: str, query: Mapping[str, str]) -> dict[str, Any]:
    parts = urlsplit(tracking)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password or parts.query or parts.fragment:
        raise Malformed(
            f"`{parts.hostname or tracking[:60]}` is not given as the URL of a server", hint="write it like `https://mlflow.example`"
        )
    headers = {"Accept": "application/json", **_credentials(parts.scheme, parts.hostname)}
    connection: http.client.HTTPConnection = (
        http.client.HTTPSConnection(parts.hostname, parts.port, timeout=_TIMEOUT_S, context=ssl.create_default_context())
        if parts.scheme == "https"
        else http.client.HTTPConnection(parts.hostname, parts.port, timeout=_TIMEOUT_S)
    )
    target = f"{parts.path.rstrip('/')}/api/2.0/mlflow/{call}?{urlencode(query)}"
    deadline = time.monotonic() + 3 * _TIMEOUT_S
    raw = bytearray()
    try:
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        while chunk := response.read1(65_536):
            raw += chunk
            if len(raw) > _MOST_BYTES or time.monotonic() > deadline:
                raise Unavailable(f"`{_shown(tracking)}` answers too much or too slowly")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unavailable(f"`{_shown(tracking)}` does not answer: {type(error).__name__}", hint="see whether it runs") from error
    finally:
        connection.close()
    if response.status == 404:
        raise NotFound(f"`{_shown(tracking)}` knows no such thing: {call}", hint="check the id and the URL")
    if response.status != 200:
        hint = "set MLFLOW_TRACKING_TOKEN" if response.status in (401, 403) else "see that server's log"
        raise Unavailable(f"`{_shown(tracking)}` answers {response.status}", hint=hint)
    found = parse_json(bytes(raw), what="the tracking server's answer")
    if not isinstance(found, dict):
        raise Malformed("the tracking server's answer is not a JSON object")
    return found


def _credentials(scheme: str, host: str) -> dict[str, str]:
    token, user = os.environ.get("MLFLOW_TRACKING_TOKEN", ""), os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    pair = f"{user}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
    header = f"Bearer {token}" if token else f"Basic {base64.b64encode(pair.encode()).decode()}" if user else ""
    if header and scheme != "https" and not _is_loopback(host):
        raise Malformed(f"credentials are not sent to `{host}` in the clear", hint="use https, or unset MLFLOW_TRACKING_TOKEN")
    return {"Authorization": header} if header else {}


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(tracking: str) -> str:
    parts = urlsplit(tracking)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path.rstrip('/')}"


def _object(found: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = found.get(key, {})
    if not isinstance(value, dict):
        raise Malformed(f"`{key}` of the run is no object")
    return value


def _list(found: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    value = found.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise Malformed(f"`{key}` of the run is no list of objects")
    return value


def _pairs(found: Mapping[str, Any], key: str) -> dict[str, str]:
    pairs = {}
    for each in _list(found, key):
        name, value = each.get("key"), each.get("value", "")
        if not isinstance(name, str) or not name or not isinstance(value, str):
            raise Malformed(f"one of the `{key}` of the run is not a key and a text")
        pairs[name] = value
    return pairs


def _whole(found: Mapping[str, Any], key: str) -> int:
    value = found.get(key, 0)
    text = str(value)
    if isinstance(value, bool) or not text.removeprefix("-").isdigit() or len(text) > 18:
        raise Malformed(f"`{key}` is `{text[:40]}`, expected a whole number")
    return int(text)


def _metric(each: dict[str, Any]) -> ClaimedMetric:
    """Return a metric; not-a-number is kept as what it is, and never becomes a number."""
    key, value = each.get("key"), each.get("value", 0.0)
    if not isinstance(key, str) or not key:
        raise Malformed("a metric of the run has no key")
    if isinstance(value, str) and value in _NO_NUMBERS:
        return ClaimedMetric(key=key, value=None, step=_whole(each, "step"), at_ms=_whole(each, "timestamp"), text=value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        kind = "a text" if isinstance(value, str) else f"a {type(value).__name__}"
        hint = "a number in quotes is not taken for one" if isinstance(value, str) and _NUMBER.match(value) else ""
        raise Malformed(f"metric `{key[:60]}` of the run is {kind}, expected a number", hint=hint)
    return ClaimedMetric(key=key, value=float(value), step=_whole(each, "step"), at_ms=_whole(each, "timestamp"))


def _dataset(each: dict[str, Any]) -> DatasetInput:
    dataset, tags = _object(each, "dataset"), _pairs(each, "tags")
    names = {key: dataset.get(key, "") for key in ("name", "digest", "source_type", "source")}
    if not all(isinstance(value, str) for value in names.values()) or not names["name"]:
        raise Malformed("a data set of the run has no name")
    return DatasetInput(**names, context=tags.get("mlflow.data.context", ""))
