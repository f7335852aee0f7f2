"""A scoring server that speaks the Open Inference Protocol V2 over HTTP: one model, one process, no state.

    python -m jurat.demo.scoring --artefact FILE --digest sha256:… --features FILE --name credit --version 1.1.0 --port 0 --ready-fd N

The artefact's digest is checked and it is scanned before it is unpickled, from the very bytes that were read. Each feature
is an input tensor of its own (`BYTES`, `FP64`, `INT64`), shape [n]; the outputs are `approved` (BOOL) and `confidence`
(FP64, the model's probability of the answer that it gave). Each response says which model answered, by digest.
Knows nothing of Jurat's gateway, ledger or state: any server that speaks the protocol could stand in its place.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pickle
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec
import uvicorn

from jurat.app.features import Datatype, FeatureSchema, parse_features, to_array
from jurat.app.scan import verify_loadable
from jurat.core.digests import check_digest
from jurat.core.errors import JuratError, Malformed, NotFound, Unavailable
from jurat.core.files import write_whole
from jurat.guard.artefacts import read_artefact

MAX_BODY_BYTES: Final = 1_048_576
MAX_ROWS: Final = 1_000

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class _Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] | None = None


class _WantedOutput(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class _Request(msgspec.Struct):
    inputs: list[_Tensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[_WantedOutput] | None = None


class Model:
    """A loaded model and what it is called."""

    def __init__(self, name: str, version: str, digest: str, schema: FeatureSchema, estimator: Any, favourable: str) -> None:
        classes = [str(label) for label in estimator.classes_]
        if favourable not in classes or len(classes) != 2:
            raise Malformed(f"the model answers `{'`, `'.join(classes)}`, expected two answers of which one is `{favourable}`")
        self.name, self.version, self.digest, self.schema = name, version, digest, schema
        self._estimator, self._favourable = estimator, classes.index(favourable)

    def metadata(self) -> dict[str, Any]:
        """Return the protocol's description of the model."""
        inputs = [{"name": f.name, "datatype": f.datatype, "shape": [-1]} for f in self.schema.features]
        outputs = [{"name": "approved", "datatype": "BOOL", "shape": [-1]}, {"name": "confidence", "datatype": "FP64", "shape": [-1]}]
        return {"name": self.name, "versions": [self.version], "platform": "sklearn_pickle", "inputs": inputs, "outputs": outputs}

    def infer(self, body: bytes) -> dict[str, Any]:
        """Return the protocol's answer to a request body.

        Raises:
            Malformed: not such a request, or not this model's inputs.
        """
        try:
            request = msgspec.json.decode(body, type=_Request)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Malformed(f"not an inference request; the reader says: {str(error)[:200]}") from error
        inputs = to_array(self.schema, self._rows(request.inputs))
        probabilities = self._estimator.predict_proba(inputs)
        answers = probabilities.argmax(axis=1)
        outputs = [
            {"name": "approved", "datatype": "BOOL", "data": [bool(answer == self._favourable) for answer in answers]},
            {"name": "confidence", "datatype": "FP64", "data": [float(p) for p in probabilities.max(axis=1)]},
        ]
        if request.outputs is not None:
            wanted = [output.name for output in request.outputs]
            if unknown := [name for name in wanted if name not in ("approved", "confidence")]:
                raise Malformed(f"output `{unknown[0][:80]}` is unknown, expected `approved` or `confidence`")
            outputs = [output for output in outputs if output["name"] in wanted]
        return {
            "model_name": self.name,
            "model_version": self.version,
            **({"id": request.id} if request.id is not None else {}),
            "parameters": {"model_digest": self.digest},
            "outputs": [{**output, "shape": [len(answers)]} for output in outputs],
        }

    def _rows(self, tensors: list[_Tensor]) -> list[dict[str, Any]]:
        """Return one mapping a row, from one tensor a column."""
        by_name = {tensor.name: tensor for tensor in tensors}
        if len(by_name) != len(tensors):
            raise Malformed("an input tensor is given twice")
        for feature in self.schema.features:
            if feature.name not in by_name:
                raise Malformed(f"input `{feature.name}` is missing")
        if extra := set(by_name) - set(self.schema.names):
            raise Malformed(f"input `{min(extra)[:80]}` is unknown to model `{self.name}@{self.version}`")
        n = len(tensors[0].data)
        if not 1 <= n <= MAX_ROWS:
            raise Malformed(f"`{n}` rows, expected 1 to {MAX_ROWS}")
        for feature in self.schema.features:
            tensor = by_name[feature.name]
            if tensor.shape not in ([n], [n, 1]) or len(tensor.data) != n:
                raise Malformed(
                    f"input `{feature.name}` has shape `{tensor.shape}` and {len(tensor.data)} values, expected [{n}] as the first input"
                )
            if not _is_same_type(tensor.datatype, feature.datatype):
                raise Malformed(f"input `{feature.name}` is `{tensor.datatype[:20]}`, expected `{feature.datatype}`")
        columns = {name: tensor.data for name, tensor in by_name.items()}
        return [{name: data[row] for name, data in columns.items()} for row in range(n)]


def load_model(artefact: Path, digest: str, features: Path, name: str, version: str, favourable: str) -> Model:
    """Return the model in a file, once its digest and its contents are known to be good.

    Raises:
        Tampered, Denied, Malformed, NotFound: as `app.scan.verify_loadable`, `guard.artefacts.read_artefact` and `parse_features`.
    """
    raw = read_artefact(artefact)
    verify_loadable(raw, check_digest(digest))
    schema = parse_features(read_artefact(features))
    estimator = pickle.loads(raw)  # noqa: S301 - these very bytes were scanned a line ago
    if not hasattr(estimator, "predict_proba") or not hasattr(estimator, "classes_"):
        raise Malformed("the artefact is not a classifier with probabilities")
    return Model(name, version, digest, schema, estimator, favourable)


class Server:
    """The protocol as an ASGI application."""

    def __init__(self, model: Model, when_ready: Callable[[], None] = lambda: None) -> None:
        self.model = model
        self._when_ready = when_ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            try:
                status, answer = 200, await self._answer(scope["method"], scope["path"], receive)
            except JuratError as error:
                status, answer = error.http_status, {"error": error.detail}
            body = msgspec.json.encode(answer)
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    async def _answer(self, method: str, path: str, receive: Receive) -> dict[str, Any]:
        model, parts = self.model, path.strip("/").split("/")
        if parts[:2] == ["v2", "models"] and parts[2:3] == [model.name]:
            rest = parts[3:]
            if rest[:1] == ["versions"]:
                if rest[1:2] != [model.version]:
                    raise NotFound(f"model `{model.name}` has only version `{model.version}` here")
                rest = rest[2:]
            if rest == ["infer"] and method == "POST":
                return model.infer(await _read_body(receive))
            if rest == [] and method == "GET":
                return model.metadata()
            if rest == ["ready"] and method == "GET":
                return {"name": model.name, "ready": True}
        if method == "GET":
            fixed: dict[str, dict[str, Any]] = {
                "v2": {"name": "jurat-demo-scoring", "version": version("jurat"), "extensions": []},
                "v2/health/live": {"live": True},
                "v2/health/ready": {"live": True, "ready": True},
            }
            if answer := fixed.get("/".join(parts)):
                return answer
        raise NotFound(f"there is no `{method} {path[:200]}` here")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while (await receive())["type"] == "lifespan.startup":
            self._when_ready()
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})


async def _read_body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Malformed("the client went away")
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise Malformed(f"a request has more than {MAX_BODY_BYTES:,} bytes")
        if not message.get("more_body"):
            return bytes(body)


def _is_same_type(given: str, wanted: Datatype) -> bool:
    numbers = ("FP64", "FP32", "INT64", "INT32")
    return given in numbers if wanted is not Datatype.BYTES else given == "BYTES"


def main(argv: list[str] | None = None) -> int:
    """Serve one model until SIGTERM, or until the parent's pipe closes; return the exit code."""
    arguments = _arguments().parse_args(argv)
    try:
        listener = _bind(arguments.host, arguments.port)
        model = load_model(
            arguments.artefact, arguments.digest, arguments.features, arguments.name, arguments.version, arguments.favourable
        )
    except JuratError as error:
        print(f"jurat.demo.scoring: {error.detail}\n  {error.hint}", file=sys.stderr)  # noqa: T201 - a program's last words
        return error.exit_code
    import sklearn  # seconds; nobody waits them for a port that is taken or a model that is refused

    sklearn.set_config(assume_finite=True, skip_parameter_validation=True)  # inputs were checked by `to_array`
    listener.listen(128)
    port = str(listener.getsockname()[1])

    def ready() -> None:
        if arguments.parent_fd is not None:
            asyncio.get_running_loop().add_reader(arguments.parent_fd, stop)
        if arguments.ready_file is not None:
            write_whole(arguments.ready_file, f"{port}\n".encode())
        if arguments.ready_fd is not None:
            os.write(arguments.ready_fd, f"ready {port}\n".encode())
            os.close(arguments.ready_fd)

    config = uvicorn.Config(Server(model, ready), log_level="warning", access_log=False, timeout_graceful_shutdown=2, lifespan="on")
    server = uvicorn.Server(config)

    def stop() -> None:
        asyncio.get_running_loop().remove_reader(arguments.parent_fd)
        server.should_exit = True

    # uvicorn raises the signal again once it has stopped; here it has done its work by then.
    signal.signal(signal.SIGTERM, lambda *_: setattr(server, "should_exit", True))
    server.run(sockets=[listener])
    return 0


def _bind(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise Unavailable(
            f"`{host}:{port}` cannot be listened on: {(error.strerror or 'unknown').lower()}", hint="choose another `--port`"
        ) from error
    return listener


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jurat.demo.scoring", description="Serve one model over the Open Inference Protocol V2."
    )
    parser.add_argument("--artefact", type=Path, required=True, help="the model: a pickle that the scanner passes")
    parser.add_argument("--digest", required=True, help="its digest, `sha256:…`")
    parser.add_argument("--features", type=Path, required=True, help="its feature definitions, JSON")
    parser.add_argument("--name", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--favourable", default="good", help="the model's answer that means `approved`")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--ready-file", type=Path, help="gets the port once the server answers")
    parser.add_argument("--ready-fd", type=int, help="gets `ready <port>` once the server answers, and is closed")
    parser.add_argument("--parent-fd", type=int, help="a pipe; the server stops when its other end closes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
