"""Access tokens over the wire: handed out at `/oauth/token` by one process, taken by another, bound, narrowed, chained, ended."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

from joserfc import jwk, jws
from tests.wire.identity.identity_site import ACCESS_TOKEN, EXCHANGE, PUBLIC, IdentitySite, Key

from jurat.domain.facts import ActDenied, TokenIssued


def claims(token: str) -> dict[str, object]:
    import base64

    part = token.split(".")[1]
    found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    assert isinstance(found, dict)
    return found


def test_a_services_token_lives_a_quarter_of_an_hour_and_others_can_check_it(site: IdentitySite) -> None:
    answer = site.of_client("scorer", audience="gateway")
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    assert answer.body["token_type"] == "Bearer"
    assert 890 <= answer.body["expires_in"] <= 900
    keys = site.ask("GET", "/.well-known/jwks.json", port=site.other).body["keys"]
    assert all("d" not in key for key in keys)
    token = answer.body["access_token"]
    checked = jws.deserialize_compact(token, jwk.KeySet.import_key_set({"keys": keys}), algorithms=["ES256"])
    said = json.loads(checked.payload)
    assert checked.headers()["typ"] == "at+jwt"
    assert said["iss"] == PUBLIC
    assert said["aud"] == ["gateway"]
    assert said["sub"] == site.ids["ben"]
    assert said["act"] == {"sub": site.ids["scorer"]}
    assert said["exp"] - said["iat"] == 900


def test_a_token_for_one_door_does_not_open_another(site: IdentitySite) -> None:
    refused = site.look(site.of_client("scorer", audience="gateway").body["access_token"])
    assert (refused.status, refused.body["code"]) == (401, "token_audience")
    assert site.of_client("scorer", audience="elsewhere").body["error"] == "invalid_target"


def test_both_workers_take_what_one_of_them_gave(site: IdentitySite) -> None:
    token = site.of_client("pipe").body["access_token"]
    assert site.look(token, port=site.one, path="/api/v1/gates").status == 200
    assert site.look(token, port=site.other, path="/api/v1/gates").status == 200


def test_a_person_and_a_stranger_get_nothing_as_clients(site: IdentitySite) -> None:
    assert site.of_client("ada").body["error"] == "unauthorized_client"
    wrong = site.token(grant_type="client_credentials", client=(site.ids["scorer"], site.local["pipe"]))
    assert (wrong.status, wrong.body["error"]) == (401, "invalid_client")
    assert site.token(grant_type="client_credentials").body["error"] == "invalid_client"
    assert site.token(grant_type="password", username="ada", password="x").body["error"] == "unsupported_grant_type"


def test_a_session_renews_its_token_and_a_stolen_renewal_ends_it(site: IdentitySite) -> None:
    first = site.sign_in("ada").reply
    assert site.look(first["token"]).status == 200
    second = site.token(grant_type="refresh_token", refresh_token=first["refresh_token"]).body
    assert site.look(second["access_token"]).status == 200
    assert second["refresh_token"] != first["refresh_token"]
    again = site.token(grant_type="refresh_token", refresh_token=first["refresh_token"], port=site.other)
    assert again.body["error"] == "invalid_grant"
    assert again.body["code"] == "token_reused"
    for token in (first["token"], second["access_token"]):
        assert site.look(token, port=site.other).status == 401
    assert site.token(grant_type="refresh_token", refresh_token=second["refresh_token"]).body["code"] == "session_ended"


def test_ending_a_session_ends_its_tokens_at_once_in_both_workers(site: IdentitySite) -> None:
    opened = site.sign_in("ada").reply
    headers = {"authorization": f"Bearer {opened['token']}"}
    listed = [row["session"] for row in site.look(opened["token"]).body["data"]]
    assert opened["session"] in listed
    ended = site.ask("POST", f"/api/v1/sessions/{opened['session']}/end", headers=headers, body={"reason": "laptop lost"})
    assert ended.status == 200
    assert [site.look(opened["token"], port=port).status for port in (site.one, site.other)] == [401, 401]


def test_one_sees_and_ends_only_ones_own_sessions(site: IdentitySite) -> None:
    adas, bens = site.sign_in("ada").reply, site.sign_in("ben").reply
    seen = site.look(bens["token"]).body["data"]
    assert {row["principal"] for row in seen} == {site.ids["ben"]}
    headers = {"authorization": f"Bearer {bens['token']}"}
    refused = site.ask("POST", f"/api/v1/sessions/{adas['session']}/end", headers=headers, body={"reason": "because"})
    assert refused.status == 403
    assert site.look(adas["token"]).status == 200
    operators = site.ask("GET", "/api/v1/sessions?limit=500", headers={"authorization": f"Bearer {site.operator}"})
    assert {adas["session"], bens["session"]} <= {row["session"] for row in operators.body["data"]}


def test_a_chain_of_person_agent_and_process_is_in_the_token_and_in_the_event(site: IdentitySite) -> None:
    person = site.sign_in("ada").reply["token"]
    agents, processes = (site.of_client(name).body["access_token"] for name in ("scout", "pipe"))
    kinds = {"subject_token_type": ACCESS_TOKEN, "actor_token_type": ACCESS_TOKEN}
    one = site.token(grant_type=EXCHANGE, subject_token=person, actor_token=agents, **kinds).body
    assert one["issued_token_type"] == ACCESS_TOKEN
    two = site.token(grant_type=EXCHANGE, subject_token=one["access_token"], actor_token=processes, **kinds).body
    said = claims(two["access_token"])
    assert said["sub"] == site.ids["ada"]
    assert said["act"] == {"sub": site.ids["pipe"], "act": {"sub": site.ids["scout"]}}
    with site.app.store.reading() as state:
        from jurat.app.keep_identity import hash_secret

        known = state.vault.find_token(hash_secret(two["access_token"]))
    assert known is not None
    assert known.chain == [site.ids["ada"], site.ids["scout"], site.ids["pipe"]]


def test_an_agents_rights_are_those_that_its_person_has_too(site: IdentitySite) -> None:
    """`scout` and `pipe` are auditors and may read events; Ada is a data scientist and may not: so neither may for her."""
    kinds = {"subject_token_type": ACCESS_TOKEN, "actor_token_type": ACCESS_TOKEN}
    pipes = site.of_client("pipe").body["access_token"]
    assert site.look(pipes, path="/api/v1/events").status == 200
    for_ada = site.token(
        grant_type=EXCHANGE,
        subject_token=site.sign_in("ada").reply["token"],
        actor_token=site.of_client("scout").body["access_token"],
        **kinds,
    ).body["access_token"]
    assert site.look(for_ada, path="/api/v1/events").status == 403
    through_a_process = site.token(grant_type=EXCHANGE, subject_token=for_ada, actor_token=pipes, **kinds).body["access_token"]
    assert site.look(through_a_process, path="/api/v1/events").status == 403
    for_ben = site.token(
        grant_type=EXCHANGE,
        subject_token=site.sign_in("ben").reply["token"],
        actor_token=site.of_client("scout").body["access_token"],
        **kinds,
    ).body["access_token"]
    assert site.look(for_ben, path="/api/v1/events").status == 200


def test_a_delegated_token_dies_with_its_persons_session(site: IdentitySite) -> None:
    kinds = {"subject_token_type": ACCESS_TOKEN, "actor_token_type": ACCESS_TOKEN}
    opened = site.sign_in("ben").reply
    actor = site.of_client("scout").body["access_token"]
    token = site.token(grant_type=EXCHANGE, subject_token=opened["token"], actor_token=actor, **kinds).body["access_token"]
    assert site.look(token, path="/api/v1/events").status == 200
    headers = {"authorization": f"Bearer {site.operator}"}
    assert site.ask("POST", f"/api/v1/sessions/{opened['session']}/end", headers=headers, body={"reason": "left"}).status == 200
    assert site.look(token, path="/api/v1/events", port=site.other).status == 401


def test_a_chain_has_no_circle_no_second_person_and_no_borrowed_actor(site: IdentitySite) -> None:
    kinds = {"subject_token_type": ACCESS_TOKEN, "actor_token_type": ACCESS_TOKEN}
    person, other = site.sign_in("ada").reply["token"], site.sign_in("ben").reply["token"]
    agent = site.of_client("scout").body["access_token"]
    delegated = site.token(grant_type=EXCHANGE, subject_token=person, actor_token=agent, **kinds).body["access_token"]

    def code(subject: str, actor: str) -> str:
        return str(site.token(grant_type=EXCHANGE, subject_token=subject, actor_token=actor, **kinds).body["code"])

    assert code(person, other) == "person_acts_alone"
    assert code(delegated, agent) == "chain_circle"
    for_ben = site.token(grant_type=EXCHANGE, subject_token=other, actor_token=agent, **kinds).body["access_token"]
    assert code(person, for_ben) == "actor_chain"
    assert code("not.a.token", agent) == "token_unknown"


def test_every_token_is_on_record_and_its_secret_is_not(site: IdentitySite) -> None:
    done = site.sign_in("ada")
    issued = [event.data for event in done.events if isinstance(event.data, TokenIssued)]
    assert [(fact.form, fact.how, fact.session) for fact in issued] == [("jwt", "test", done.reply["session"])]
    from jurat.domain.events import encode_event

    raw = b"".join(encode_event(event) for event in done.events)
    assert done.reply["token"].encode() not in raw
    assert done.reply["refresh_token"].encode() not in raw
    assert not any(isinstance(event.data, ActDenied) for event in done.events)


def test_a_bound_token_comes_with_its_key_or_not_at_all(site: IdentitySite) -> None:
    key, other = Key(), Key()
    answer = site.of_client("pipe", key=key)
    assert answer.body["token_type"] == "DPoP"
    token = answer.body["access_token"]
    assert claims(token)["cnf"] == {"jkt": key.jkt}
    assert site.look(token, key=key, path="/api/v1/gates").status == 200
    assert site.look(token, path="/api/v1/gates").body["code"] == "token_bound", "as a bearer token it is worth nothing"
    assert site.look(token, key=other, path="/api/v1/gates").body["code"] == "token_bound"
    unbound = site.of_client("pipe").body["access_token"]
    assert site.look(unbound, key=key, path="/api/v1/gates").body["code"] == "token_bound"


def test_a_bound_session_is_renewed_by_its_key_only(site: IdentitySite) -> None:
    key = Key()
    opened = site.sign_in("ada", jkt=key.jkt).reply
    assert site.token(grant_type="refresh_token", refresh_token=opened["refresh_token"]).body["code"] == "token_bound"
    assert site.token(grant_type="refresh_token", refresh_token=opened["refresh_token"], key=Key()).body["code"] == "token_bound"
    fresh = site.token(grant_type="refresh_token", refresh_token=opened["refresh_token"], key=key)
    assert fresh.status == 200
    assert site.look(fresh.body["access_token"], key=key).status == 200
    kinds = {"subject_token_type": ACCESS_TOKEN, "actor_token_type": ACCESS_TOKEN}
    actor = site.of_client("scout").body["access_token"]
    stolen = site.token(grant_type=EXCHANGE, subject_token=fresh.body["access_token"], actor_token=actor, **kinds)
    assert stolen.body["code"] == "token_bound", "a bound token is not made a bearer token by exchanging it"


def test_a_proof_is_taken_once_by_whichever_worker_sees_it(site: IdentitySite) -> None:
    """Both workers are reached under one address, as behind a balancer."""
    key = Key()
    token = site.of_client("pipe", key=key).body["access_token"]
    headers = {"authorization": f"DPoP {token}", "dpop": key.proof("GET", f"{PUBLIC}/api/v1/gates", token)}
    assert site.ask("GET", "/api/v1/gates", headers=headers, port=site.one).status == 200
    for port in (site.other, site.one):
        assert site.ask("GET", "/api/v1/gates", headers=headers, port=port).body["code"] == "token_replayed"


def test_of_many_at_once_one_proof_is_taken_once(site: IdentitySite) -> None:
    key = Key()
    token = site.of_client("pipe", key=key).body["access_token"]
    headers = {"authorization": f"DPoP {token}", "dpop": key.proof("GET", f"{PUBLIC}/api/v1/gates", token)}
    with ThreadPoolExecutor(8) as pool:
        ports = [site.one, site.other] * 4
        statuses = list(pool.map(lambda port: site.ask("GET", "/api/v1/gates", headers=headers, port=port).status, ports))
    assert sorted(statuses) == [200] + [401] * 7
