"""Every row of MLflow's registry contract, driven by an unmodified client: what it sends, what it reads, what it is refused."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests
from mlflow.exceptions import MlflowException, RestException
from tests.scenes.mlflow_site import Site

_count = iter(range(10_000))


@pytest.fixture
def name() -> str:
    return f"model-{next(_count)}"


def refused(call: Any) -> RestException:
    with pytest.raises(RestException) as caught:
        call()
    return caught.value


def raw(site: Site, method: str, path: str, role: str = "ml_engineer", root: str = "api", **more: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {site.tokens[role]}"}
    return requests.request(method, f"{site.url}/{root}/2.0/mlflow/{path}", headers=headers, timeout=10, **more)


def test_a_model_is_made_described_tagged_found_and_deleted(site: Site, name: str) -> None:
    client = site.client()
    made = client.create_registered_model(name, tags={"team": "risk"}, description="first")
    assert (made.name, made.description, made.tags, made.latest_versions) == (name, "first", {"team": "risk"}, [])
    time.sleep(0.002)
    updated = client.update_registered_model(name, "second")
    assert updated.description == "second"
    assert updated.last_updated_timestamp > updated.creation_timestamp == made.creation_timestamp
    client.set_registered_model_tag(name, "stage/of: life.1", "a value, 'quoted'")
    client.delete_registered_model_tag(name, "team")
    client.delete_registered_model_tag(name, "never-there")
    got = client.get_registered_model(name)
    assert got.tags == {"stage/of: life.1": "a value, 'quoted'"}
    assert got.last_updated_timestamp == updated.last_updated_timestamp  # a tag touches no time
    assert raw(site, "PATCH", "registered-models/update", json={"name": name}).json()["registered_model"]["description"] == ""
    client.delete_registered_model(name)
    for call in (client.get_registered_model, client.delete_registered_model):
        assert refused(lambda call=call: call(name)).error_code == "RESOURCE_DOES_NOT_EXIST"


def test_versions_count_up_and_a_number_is_never_given_twice(site: Site, name: str) -> None:
    client = site.client()
    model = client.create_registered_model(name)
    time.sleep(0.002)
    one = client.create_model_version(name, "runs:/r1/model", run_id="r1", tags={"a": "1"}, run_link="https://x/r1", description="d")
    assert (one.version, one.current_stage, one.status, one.source, one.run_id, one.run_link) == (
        "1", "None", "READY", "runs:/r1/model", "r1", "https://x/r1"
    )  # fmt: skip
    assert one.tags == {"a": "1"}
    assert client.get_registered_model(name).last_updated_timestamp > model.last_updated_timestamp
    two = client.create_model_version(name, "s3://bucket/two")
    client.delete_model_version(name, two.version)
    assert client.create_model_version(name, "s3://bucket/three").version == "3"
    assert refused(lambda: client.get_model_version(name, "2")).error_code == "RESOURCE_DOES_NOT_EXIST"
    assert refused(lambda: client.delete_model_version(name, "2")).error_code == "RESOURCE_DOES_NOT_EXIST"
    client.set_model_version_tag(name, "1", "b", "2")
    client.delete_model_version_tag(name, "1", "a")
    client.update_model_version(name, "1", "other words")
    got = client.get_model_version(name, "1")
    assert (got.tags, got.description) == ({"b": "2"}, "other words")
    assert client.get_model_version_download_uri(name, "3") == "s3://bucket/three"
    copied = client.create_model_version(name, f"models:/{name}/3")
    assert client.get_model_version_download_uri(name, copied.version) == "s3://bucket/three"


def test_an_alias_moves_is_seen_on_both_and_goes_with_its_version(site: Site, name: str) -> None:
    client = site.client()
    client.create_registered_model(name)
    for number in ("1", "2"):
        client.create_model_version(name, f"s3://b/{number}")
    client.set_registered_model_alias(name, "dev", "1")
    client.set_registered_model_alias(name, "dev", "2")
    client.set_registered_model_alias(name, "other", "2")
    assert client.get_registered_model(name).aliases == {"dev": "2", "other": "2"}
    assert client.get_model_version(name, "2").aliases == ["dev", "other"]
    assert client.get_model_version_by_alias(name, "dev").version == "2"
    client.delete_registered_model_alias(name, "other")
    client.delete_registered_model_alias(name, "other")
    client.delete_model_version(name, "2")
    gone = refused(lambda: client.get_model_version_by_alias(name, "dev"))
    assert (gone.error_code, gone.get_http_status_code()) == ("INVALID_PARAMETER_VALUE", 400)
    assert client.get_registered_model(name).aliases == {}
    assert refused(lambda: client.set_registered_model_alias(name, "dev", "9")).error_code == "RESOURCE_DOES_NOT_EXIST"
    assert raw(site, "GET", f"registered-models/alias?name=no-{name}&alias=x").status_code == 404


@pytest.mark.filterwarnings("ignore:.*stage.*:FutureWarning")
def test_stages_are_labels_until_production_is_meant(site: Site, name: str) -> None:
    client = site.client()
    client.create_registered_model(name)
    for number in ("1", "2", "3"):
        client.create_model_version(name, f"s3://b/{number}")
    assert client.transition_model_version_stage(name, "1", "staging").current_stage == "Staging"
    moved = client.transition_model_version_stage(name, "2", "Staging", archive_existing_versions=True)
    assert (moved.current_stage, client.get_model_version(name, "1").current_stage) == ("Staging", "Archived")
    assert {(v.version, v.current_stage) for v in client.get_latest_versions(name)} == {("1", "Archived"), ("2", "Staging"), ("3", "None")}
    assert [v.version for v in client.get_latest_versions(name, stages=["STAGING"])] == ["2"]
    got = raw(site, "GET", f"registered-models/get-latest-versions?name={name}&stages=Staging&stages=none").json()
    assert {v["version"] for v in got["model_versions"]} == {"2", "3"}
    assert refused(lambda: client.transition_model_version_stage(name, "3", "Production")).error_code == "PERMISSION_DENIED"
    bad = {"name": name, "version": "3", "stage": "Archived", "archive_existing_versions": True}
    assert raw(site, "POST", "model-versions/transition-stage", json=bad).json()["error_code"] == "INVALID_PARAMETER_VALUE"
    bad = {"name": name, "version": "3", "stage": "Live", "archive_existing_versions": False}
    assert raw(site, "POST", "model-versions/transition-stage", json=bad).json()["error_code"] == "INVALID_PARAMETER_VALUE"


def test_a_renamed_model_keeps_all_it_has(site: Site, name: str) -> None:
    client = site.client()
    client.create_registered_model(name, tags={"k": "v"})
    client.create_registered_model(f"{name}-taken")
    version = client.create_model_version(name, "s3://b/1", tags={"x": "y"})
    client.set_registered_model_alias(name, "dev", "1")
    time.sleep(0.002)
    taken = refused(lambda: client.rename_registered_model(name, f"{name}-taken"))
    assert (taken.error_code, taken.get_http_status_code()) == ("RESOURCE_ALREADY_EXISTS", 400)
    client.rename_registered_model(name, f"{name} – the é one")
    renamed = client.get_registered_model(f"{name} – the é one")
    assert (renamed.tags, renamed.aliases) == ({"k": "v"}, {"dev": "1"})
    assert renamed.last_updated_timestamp > version.creation_timestamp
    moved = client.get_model_version(f"{name} – the é one", "1")
    assert (moved.tags, moved.aliases) == ({"x": "y"}, ["dev"])
    assert refused(lambda: client.get_registered_model(name)).error_code == "RESOURCE_DOES_NOT_EXIST"
    assert client.create_model_version(f"{name} – the é one", "s3://b/2").version == "2"


def test_searches_page_by_page_give_everything_once_and_in_order(site: Site, name: str) -> None:
    client = site.client()
    for each in range(5):
        client.create_registered_model(f"{name}-s{each}", tags={"page": name, "parity": str(each % 2)})
        for version in range(each):
            client.create_model_version(f"{name}-s{each}", f"s3://{name}/{each}/{version}", run_id=f"run-{each}", tags={"n": str(version)})

    def pages(search: Any, **asked: Any) -> list[list[Any]]:
        found, token = [], None
        while True:
            page = search(page_token=token, **asked)
            found.append(list(page))
            token = page.token
            if not token:
                return found

    mine = f"name LIKE '{name}-s%'"
    models = pages(client.search_registered_models, filter_string=mine, max_results=2)
    assert [[m.name for m in page] for page in models] == [
        [f"{name}-s0", f"{name}-s1"], [f"{name}-s2", f"{name}-s3"], [f"{name}-s4"]
    ]  # fmt: skip
    assert models[2][0].latest_versions[0].version == "4"
    down = pages(client.search_registered_models, filter_string=mine, max_results=5, order_by=["name DESC"])
    assert [m.name for m in down[0]] == [f"{name}-s{n}" for n in (4, 3, 2, 1, 0)]
    assert len(down) == 1  # a full last page has no token
    newest = client.search_registered_models(filter_string=mine, order_by=["last_updated_timestamp DESC"])
    assert [m.name for m in newest] == [f"{name}-s{n}" for n in (4, 3, 2, 1, 0)]
    odd = client.search_registered_models(filter_string=f"tags.page = '{name}' AND tags.`parity` != '0'")
    assert [m.name for m in odd] == [f"{name}-s1", f"{name}-s3"]

    versions = pages(client.search_model_versions, filter_string=mine, max_results=4)
    found = [(v.name, int(v.version)) for page in versions for v in page]
    assert len(found) == len(set(found)) == 10
    assert [len(page) for page in versions] == [4, 4, 2]
    by_default = [(-v.last_updated_timestamp, v.name, -int(v.version)) for page in versions for v in page]
    assert by_default == sorted(by_default)
    ordered = pages(client.search_model_versions, filter_string=mine, max_results=3, order_by=["version_number DESC", "name ASC"])
    keys = [(-int(v.version), v.name) for page in ordered for v in page]
    assert keys == sorted(keys)
    assert len(keys) == 10

    def count(text: str) -> int:
        return len(client.search_model_versions(f"{mine} AND {text}"))

    assert count("run_id = 'run-3'") == 3
    assert count("run_id IN ('run-3','run-4')") == 7
    assert count("run_id NOT IN ('run-3')") == 7
    assert count("version_number >= 3") == 3
    assert count("version_number != 1") == 6
    assert count(f"source_path ILIKE 'S3://{name}/4/%'") == 4
    assert count("tags.n = '0'") == 4
    assert count("tags.n LIKE '_'") == 10
    assert count("tags.absent != 'x'") == 0
    assert len(client.search_registered_models(filter_string=mine, max_results=0)) == 0


def test_a_page_does_not_shift_under_whoever_turns_it(site: Site, name: str) -> None:
    client = site.client()
    for each in "bdf":
        client.create_registered_model(f"{name}-{each}")
    mine = f"name LIKE '{name}-%'"
    first = client.search_registered_models(mine, max_results=2)
    client.create_registered_model(f"{name}-a")  # before the page that was read
    client.delete_registered_model(f"{name}-b")
    second = client.search_registered_models(mine, max_results=2, page_token=first.token)
    assert [m.name for m in first] + [m.name for m in second] == [f"{name}-b", f"{name}-d", f"{name}-f"]


@pytest.mark.parametrize(
    "query",
    [
        "filter=name", "filter=nome='x'", "filter=name='a' OR name='b'", "filter=tags.k > 'v'", "filter=name = a", "max_results=1001",
        "max_results=-1", "max_results=many", "order_by=size", "order_by=name&order_by=name DESC", "order_by=name UP", "page_token=abc",
        "page_token=WyJ4IixbMV1d", "filter=name='x%00'", "name=a&filter=a&filter=b",
    ],
)  # fmt: skip
def test_a_bad_search_is_an_invalid_parameter(site: Site, query: str) -> None:
    answer = raw(site, "GET", f"registered-models/search?{query.replace(' ', '%20')}")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_a_token_of_another_question_is_refused(site: Site, name: str) -> None:
    client = site.client()
    for each in "ab":
        client.create_registered_model(f"{name}-{each}")
    token = client.search_registered_models(f"name LIKE '{name}-%'", max_results=1).token
    assert token
    assert refused(lambda: client.search_registered_models("name LIKE 'other%'", page_token=token)).error_code == "INVALID_PARAMETER_VALUE"
    assert raw(site, "GET", "model-versions/search?max_results=200001").status_code == 400


@pytest.mark.parametrize(
    "bad",
    ["", " ", "a/b", "a:b", "x" * 257, "x" * 10_000, "a\u200bb", "a\u202eb", "ｃredit", "сredit-1", "..", " padded"],
    ids=lambda text: f"{len(text)}-{text[:6]!a}",
)
def test_a_name_that_misleads_or_does_not_fit_is_refused(site: Site, bad: str) -> None:
    site.client().search_registered_models()
    if not any(m.name == "credit-1" for m in site.client().search_registered_models("name = 'credit-1'")):
        site.client().create_registered_model("credit-1")
    answer = raw(site, "POST", "registered-models/create", json={"name": bad})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert raw(site, "GET", "registered-models/get", params={"name": bad}).status_code in (400, 404)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "registered-models/create", {}),
        ("POST", "registered-models/create", {"name": 7}),
        ("POST", "registered-models/create", {"name": "t1", "tags": {"k": "v"}}),
        ("POST", "registered-models/create", {"name": "t1", "tags": [{"key": "k", "value": 1}]}),
        ("POST", "registered-models/create", {"name": "t1", "tags": [{"key": "../k", "value": "v"}]}),
        ("POST", "registered-models/create", {"name": "t1", "tags": [{"key": "k" * 251, "value": "v"}]}),
        ("POST", "registered-models/create", {"name": "t1", "tags": [{"key": "k", "value": "v" * 100_001}]}),
        ("POST", "registered-models/create", {"name": "t\u0000"}),
        ("POST", "registered-models/rename", {"name": "bad-in"}),
        ("POST", "registered-models/alias", {"name": "bad-in", "alias": "a b", "version": "1"}),
        ("POST", "registered-models/alias", {"name": "bad-in", "alias": "Latest", "version": "1"}),
        ("POST", "registered-models/alias", {"name": "bad-in", "alias": "v12", "version": "1"}),
        ("POST", "registered-models/alias", {"name": "bad-in", "alias": "a" * 256, "version": "1"}),
        ("POST", "registered-models/alias", {"name": "bad-in", "alias": "dev", "version": "one"}),
        ("POST", "model-versions/create", {"name": "bad-in"}),
        ("POST", "model-versions/create", {"name": "bad-in", "source": ""}),
        ("POST", "model-versions/create", {"name": "bad-in", "source": "/etc/passwd"}),
        ("POST", "model-versions/create", {"name": "bad-in", "source": "file:///etc/passwd"}),
        ("POST", "model-versions/create", {"name": "bad-in", "source": "s3://b/a/../../c"}),
        ("POST", "model-versions/create", {"name": "bad-in", "source": "http://h/%252e%252e/c"}),
        ("POST", "model-versions/create", {"name": "bad-in", "source": "runs:/r1/m", "run_id": "r2"}),
        ("POST", "model-versions/set-tag", {"name": "bad-in", "version": "1", "value": "v"}),
        ("POST", "model-versions/transition-stage", {"name": "bad-in", "version": "1"}),
        (
            "POST",
            "model-versions/transition-stage",
            {"name": "bad-in", "version": "1", "stage": "None", "archive_existing_versions": "yes"},
        ),
    ],
)
def test_a_bad_parameter_is_invalid_and_changes_nothing(site: Site, method: str, path: str, body: dict[str, Any]) -> None:
    client = site.client()
    if not client.search_registered_models("name = 'bad-in'"):
        client.create_registered_model("bad-in")
        client.create_model_version("bad-in", "s3://b/1")
    before = client.get_registered_model("bad-in"), len(client.search_model_versions("name = 'bad-in'"))
    answer = raw(site, method, path, json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), answer.text
    assert answer.json()["message"]
    after = client.get_registered_model("bad-in"), len(client.search_model_versions("name = 'bad-in'"))
    assert (dict(before[0]), before[1]) == (dict(after[0]), after[1])


def test_unknown_things_are_not_found_and_taken_names_are_taken(site: Site, name: str) -> None:
    client = site.client()
    client.create_registered_model(name)
    again = refused(lambda: client.create_registered_model(name))
    assert (again.error_code, again.get_http_status_code()) == ("RESOURCE_ALREADY_EXISTS", 400)
    none = f"no-{name}"
    for call in (
        lambda: client.create_model_version(none, "s3://b/1"),
        lambda: client.update_registered_model(none, "d"),
        lambda: client.set_registered_model_tag(none, "k", "v"),
        lambda: client.set_registered_model_alias(none, "dev", "1"),
        lambda: client.get_model_version(name, "1"),
        lambda: client.set_model_version_tag(name, "1", "k", "v"),
        lambda: client.get_model_version_download_uri(name, "99999999999999"),
        lambda: client.delete_model_version(name, "-1"),
    ):
        assert refused(call).error_code == "RESOURCE_DOES_NOT_EXIST"


def test_what_old_and_other_clients_send_is_read_too(site: Site, name: str) -> None:
    assert raw(site, "POST", "registered-models/create", root="ajax-api", json={"name": name, "unknown": [1]}).status_code == 200
    twice = requests.post(
        f"{site.url}/api/2.0/mlflow/model-versions/create",
        data='"{\\"name\\": \\"' + name + '\\", \\"source\\": \\"s3://b/1\\"}"',
        headers={"Authorization": f"Bearer {site.tokens['ml_engineer']}", "Content-Type": "application/json"},
        timeout=10,
    )
    assert twice.json()["model_version"]["version"] == "1"
    assert raw(site, "POST", "registered-models/get-latest-versions", json={"name": name}).json()["model_versions"][0]["version"] == "1"
    basic = requests.get(
        f"{site.url}/api/2.0/mlflow/registered-models/get?name={name}", auth=("any", site.tokens["ml_engineer"]), timeout=10
    )
    assert basic.status_code == 200
    dup = requests.post(
        f"{site.url}/api/2.0/mlflow/registered-models/alias",
        data='{"name": "' + name + '", "alias": "dev", "alias": "champion", "version": "1"}',
        headers={"Authorization": f"Bearer {site.tokens['ml_engineer']}"},
        timeout=10,
    )
    assert dup.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    for path in ("registered-models/nothing", "runs/create", "registered-models/../secrets"):
        assert raw(site, "POST", path, json={}).status_code in (401, 404)
    assert raw(site, "PUT", "registered-models/create", json={}).status_code in (404, 405)
    assert raw(site, "POST", "registered-models/create", data=b"x" * 1_200_000).status_code == 413


def test_prompts_are_left_out_unless_they_are_asked_for(site: Site, name: str) -> None:
    client = site.client()
    client.create_registered_model(name)
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    assert raw(site, "POST", "registered-models/create", json={"name": f"{name}-prompt", "tags": tags}).status_code == 200
    assert [m.name for m in client.search_registered_models(f"name LIKE '{name}%'")] == [name]
    answer = raw(
        site, "GET", "registered-models/search", params={"filter": f"name LIKE '{name}%' AND tags.mlflow.prompt.is_prompt = 'true'"}
    )
    assert [m["name"] for m in answer.json()["registered_models"]] == [f"{name}-prompt"]


def test_nobody_gets_nothing_and_a_wrong_client_is_told_so(site: Site, name: str) -> None:
    assert requests.get(f"{site.url}/api/2.0/mlflow/registered-models/search", timeout=10).json()["error_code"] == "UNAUTHENTICATED"
    forged = {"Authorization": "Bearer jrt_" + "A" * 43}
    answer = requests.post(f"{site.url}/api/2.0/mlflow/registered-models/create", json={"name": name}, headers=forged, timeout=10)
    assert (answer.status_code, answer.json()["error_code"]) == (401, "UNAUTHENTICATED")
    with pytest.raises(MlflowException):
        site.client("auditor").create_registered_model(name)
    assert site.denials("policy_denied")[0].data.command == "CreateRegistryModel"
    assert refused(lambda: site.client("ml_engineer").get_registered_model(name)).error_code == "RESOURCE_DOES_NOT_EXIST"


def test_who_may_see_one_model_only_sees_that_one_on_every_page(site: Site, name: str) -> None:
    from jurat.app.walk import act
    from jurat.domain import commands
    from jurat.domain.roles import expiry
    from jurat.domain.values import PrincipalType

    client = site.client()
    for each in "abcd":
        client.create_registered_model(f"{name}-{each}")
    operator = site.tokens["operator"]
    person = act(site.app, operator, commands.RegisterPrincipal(type=PrincipalType.PERSON, name="guest")).reply["principal"]
    ends = expiry(site.app.clock.now_ns(), 3600)
    grant = commands.GrantRole(principal=person, role="ml_engineer", reason="t", expires_at=ends, scope=f"models/dev/{name}-c")
    act(site.app, operator, grant)
    site.tokens["guest"] = act(site.app, operator, commands.IssueToken(principal=person, lifetime_s=600)).reply["token"]
    guest = site.client("guest")
    assert [m.name for m in guest.search_registered_models(f"name LIKE '{name}-%'", max_results=1)] == [f"{name}-c"]
    assert guest.get_registered_model(f"{name}-c").name == f"{name}-c"
    assert refused(lambda: guest.get_registered_model(f"{name}-a")).error_code == "RESOURCE_DOES_NOT_EXIST"
    hidden = refused(lambda: guest.search_registered_models(f"name = '{name}-a'"))
    assert hidden.error_code == "PERMISSION_DENIED"
    given = [e.data.grant for e in site.events() if e.kind.name == "role.granted.v1" and e.data.principal == person]
    act(site.app, operator, commands.RevokeRole(grant=given[0], reason="t"))
    assert refused(lambda: guest.get_registered_model(f"{name}-c")).error_code == "RESOURCE_DOES_NOT_EXIST"  # at once
