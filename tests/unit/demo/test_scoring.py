"""The Open Inference Protocol, asked without a socket: every route, and every way to ask wrongly."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests import hostile

from jurat.app.features import Datatype, Feature, FeatureSchema
from jurat.core.digests import digest_bytes, digest_file
from jurat.core.errors import Denied, Malformed, Tampered
from jurat.demo.dataset import FAVOURABLE, load_rows, split_rows
from jurat.demo.scoring import MAX_BODY_BYTES, Model, Server, load_model
from jurat.demo.train import train

PARTS = split_rows(load_rows())


@pytest.fixture(scope="module")
def candidate(tmp_path_factory):
    return train("1.1.0", PARTS["training"], tmp_path_factory.mktemp("scoring"))


@pytest.fixture(scope="module")
def server(candidate):
    return Server(load_model(candidate.artefact, candidate.artefact_digest, candidate.features, "credit", "1.1.0", FAVOURABLE))


def ask(server, method, path, body=b"", *, pieces=1):
    sent = []
    size = max(1, -(-len(body) // pieces))
    parts = [body[n : n + size] for n in range(0, len(body), size)] or [b""]
    messages = [{"type": "http.request", "body": part, "more_body": n < len(parts) - 1} for n, part in enumerate(parts)]

    async def receive():
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    asyncio.run(server({"type": "http", "method": method, "path": path}, receive, send))
    assert dict(sent[0]["headers"])[b"content-length"] == str(len(sent[1]["body"])).encode()
    return sent[0]["status"], json.loads(sent[1]["body"])


def request_of(schema, rows, **more):
    def column(feature):
        data = [float(row[feature.name]) if feature.datatype == "FP64" else row[feature.name] for row in rows]
        return {"name": feature.name, "shape": [len(rows)], "datatype": feature.datatype, "data": data}

    return {"inputs": [column(feature) for feature in schema.features], **more}


def infer(server, request, path="/v2/models/credit/infer", **options):
    return ask(server, "POST", path, json.dumps(request).encode(), **options)


def test_health_and_metadata_have_the_protocol_s_shapes(server):
    assert ask(server, "GET", "/v2/health/live") == (200, {"live": True})
    assert ask(server, "GET", "/v2/health/ready")[1]["ready"] is True
    assert set(ask(server, "GET", "/v2")[1]) == {"name", "version", "extensions"}
    for path in ("/v2/models/credit", "/v2/models/credit/versions/1.1.0"):
        assert ask(server, "GET", path + "/ready") == (200, {"name": "credit", "ready": True})
        status, metadata = ask(server, "GET", path)
        assert status == 200
        assert metadata["versions"] == ["1.1.0"]
        assert metadata["inputs"][1] == {"name": "duration_months", "datatype": "FP64", "shape": [-1]}
        assert [output["name"] for output in metadata["outputs"]] == ["approved", "confidence"]


def test_an_answer_is_the_model_s_own_with_its_confidence_and_its_digest(server, candidate):
    rows = PARTS["applicants"][:40]
    status, answer = infer(server, request_of(candidate.schema, rows, id="42"))
    assert status == 200
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("42", "credit", "1.1.0")
    assert answer["parameters"] == {"model_digest": candidate.artefact_digest}
    approved, confidence = answer["outputs"]
    assert (approved["name"], approved["datatype"], approved["shape"]) == ("approved", "BOOL", [40])
    assert (confidence["name"], confidence["datatype"], confidence["shape"]) == ("confidence", "FP64", [40])
    assert set(approved["data"]) == {True, False}
    assert all(0.5 <= p <= 1 for p in confidence["data"])
    one_by_one = [infer(server, request_of(candidate.schema, [row]))[1]["outputs"] for row in rows]
    assert [out[0]["data"][0] for out in one_by_one] == approved["data"]
    assert [out[1]["data"][0] for out in one_by_one] == pytest.approx(confidence["data"])


def test_a_body_in_pieces_a_column_shape_and_chosen_outputs_are_understood(server, candidate):
    request = request_of(candidate.schema, PARTS["applicants"][:3], outputs=[{"name": "confidence"}])
    for tensor in request["inputs"]:
        tensor["shape"] = [3, 1]
    status, answer = infer(server, request, "/v2/models/credit/versions/1.1.0/infer", pieces=7)
    assert status == 200
    assert [output["name"] for output in answer["outputs"]] == ["confidence"]
    assert "id" not in answer


def wrong(request, change):
    change(request)
    return request


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda r: r["inputs"].pop(0), "input `checking_status` is missing"),
        (lambda r: r.update(inputs=[]), "input `checking_status` is missing"),
        (lambda r: r["inputs"].append(r["inputs"][0]), "an input tensor is given twice"),
        (lambda r: r["inputs"].append({"name": "age", "shape": [2], "datatype": "FP64", "data": [1, 2]}), "input `age` is unknown"),
        (lambda r: r["inputs"][1].update(shape=[3]), "has shape `[3]` and 2 values"),
        (lambda r: r["inputs"][1].update(shape=[]), "has shape `[]`"),
        (lambda r: r["inputs"][1].update(data=[1.0]), "and 1 values, expected [2]"),
        (lambda r: [t.update(data=[], shape=[0]) for t in r["inputs"]], "`0` rows, expected 1 to 1000"),
        (lambda r: r["inputs"][1].update(datatype="BYTES"), "input `duration_months` is `BYTES`, expected `FP64`"),
        (lambda r: r["inputs"][0].update(data=[1, 2]), "`checking_status` of row 1 is not a `BYTES`"),
        (lambda r: r["inputs"][1].update(data=[6, "secret"]), "`duration_months` of row 2 is not a `FP64`"),
        (lambda r: r.update(outputs=[{"name": "gradient"}]), "output `gradient` is unknown"),
        (lambda r: r["inputs"][0].pop("data"), "not an inference request"),
    ],
)
def test_a_wrong_request_is_400_with_the_protocol_s_error(server, candidate, change, error):
    status, answer = infer(server, wrong(request_of(candidate.schema, PARTS["applicants"][:2]), change))
    assert status == 400
    assert set(answer) == {"error"}
    assert error in answer["error"]
    assert "secret" not in answer["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"inputs":[{"name":"a"}]}', b"[" * 100_000, b'{"inputs":null}'])
def test_other_bodies_are_400(server, body):
    assert ask(server, "POST", "/v2/models/credit/infer", body)[0] == 400


def test_a_body_without_end_is_400(server):
    status, answer = ask(server, "POST", "/v2/models/credit/infer", b" " * (MAX_BODY_BYTES + 1), pieces=3)
    assert status == 400
    assert "more than 1,048,576 bytes" in answer["error"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/v3"), ("GET", "/v2/models"), ("GET", "/v2/models/other"), ("GET", "/v2/models/credit/versions/9.9.9"),
     ("GET", "/v2/models/credit/infer"), ("POST", "/v2/models/credit"), ("POST", "/v2/health/live"), ("GET", "/v2/models/credit/ready/x")],
)  # fmt: skip
def test_anything_else_is_404_with_the_protocol_s_error(server, method, path):
    status, answer = ask(server, method, path)
    assert status == 404
    assert set(answer) == {"error"}


def test_a_hostile_or_swapped_artefact_is_refused_before_it_is_loaded(candidate, tmp_path):
    trace, bad = tmp_path / "trace", tmp_path / "bad.pkl"
    bad.write_bytes(hostile.plant(trace))
    with pytest.raises(Tampered):
        load_model(bad, candidate.artefact_digest, candidate.features, "credit", "1.1.0", FAVOURABLE)
    with pytest.raises(Denied):
        load_model(bad, digest_file(bad), candidate.features, "credit", "1.1.0", FAVOURABLE)
    assert not trace.exists()


def test_what_is_not_a_two_way_classifier_is_malformed(tmp_path, candidate):
    thing = tmp_path / "thing.pkl"
    thing.write_bytes(hostile.GOOD)
    with pytest.raises(Malformed, match="not a classifier"):
        load_model(thing, digest_bytes(hostile.GOOD), candidate.features, "credit", "1.1.0", FAVOURABLE)
    with pytest.raises(Malformed, match="one is `yes`"):
        load_model(candidate.artefact, candidate.artefact_digest, candidate.features, "credit", "1.1.0", "yes")


def test_a_model_that_was_given_no_rows_is_not_asked(candidate):
    class Explodes:
        classes_ = ("bad", "good")

        def predict_proba(self, _):
            raise AssertionError("the model was asked")

    schema = FeatureSchema(version="1", features=[Feature("a", Datatype.FP64)])
    model = Model("m", "1", candidate.artefact_digest, schema, Explodes(), "good")
    with pytest.raises(Malformed):
        model.infer(b'{"inputs":[{"name":"a","shape":[0],"datatype":"FP64","data":[]}]}')
