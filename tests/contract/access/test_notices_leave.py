"""Notices leave a real workspace: real PostgreSQL and ledger, the worker's own loop, a real HTTP and a real small SMTP server.

An emergency takes approvers past; they are told within seconds, by both ways. What failed is tried again, also by the next process;
what became of it is on record, and no address is. The two servers are the standard library's (`scenes.receivers`).
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.scenes.receivers import Post, Receiver, receiving, taking_mail

from jurat.app import delivery
from jurat.app.bootstrap import init_workspace, remove_workspace
from jurat.app.delivery import deliveries_file, read_deliveries
from jurat.app.refold import compare_state
from jurat.app.status import status_of
from jurat.app.walk import act
from jurat.app.wiring import App, open_app
from jurat.cli.main import run
from jurat.cli.session import Session
from jurat.core.settings import Settings, format_settings
from jurat.core.workspace import Workspace
from jurat.domain import rows
from jurat.domain.commands import GrantRole, IssueToken, RegisterPrincipal
from jurat.domain.commands_access import BreakGlass, CloseGlass, ReviewGlass, SeeNotice
from jurat.domain.events import decode_event
from jurat.domain.roles import expiry
from jurat.domain.values import PrincipalType
from jurat.worker.delivery import PostOffice, carriers_of, keep_delivered
from jurat.worker.webhook import way_of

MAILBOX = "fay.private.address@example.org"
SECRET = base64.b64encode(secrets.token_bytes(32)).decode()


@dataclasses.dataclass
class House:
    """A workspace with somebody who breaks glass, an officer with an address and a lead without; and who is sent notices."""

    app: App
    ids: dict[str, str]
    tokens: dict[str, str]
    hook: Receiver
    post: Post

    @property
    def way(self) -> str:
        return way_of(self.hook.url)

    def break_glass(self) -> str:
        command = BreakGlass(principal=self.ids["ada"], role="ml_engineer", scope="models/prod/", reason="wrong answers", ticket="INC-1")
        return str(act(self.app, self.tokens["ada"], command).events[0].data.glass)  # type: ignore[attr-defined]

    def mend(self, glass: str) -> None:
        """Close and review it, and take note of everything, so that the next test begins with nothing."""
        with contextlib.suppress(Exception):
            act(self.app, self.tokens["ada"], CloseGlass(glass=glass))
        with self.app.store.reading() as state:
            notices = state.find(rows.Notice)
        for each in notices:
            who = next(name for name, principal in self.ids.items() if principal == each.to)
            act(self.app, self.tokens[who], SeeNotice(notice=each.notice))

    def delivered(self) -> dict[tuple[str, str], rows.Delivery]:
        """By person and way."""
        names = {principal: name for name, principal in self.ids.items()}
        with self.app.store.reading() as state:
            return {(names[each.to], each.way): each for each in state.find(rows.Delivery)}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    root = tmp_path_factory.mktemp("leave") / "w"
    with receiving() as hook, taking_mail() as post:
        settings = Settings(webhooks=(hook.url,), mail_server=post.address, mail_from="jurat@example.org")
        made = init_workspace(root, settings=settings, throwaway=True)
        try:
            secret = root / "keys" / "webhook-secret"
            secret.write_text(f"whsec_{SECRET}\n")
            secret.chmod(0o600)
            with open_app(Workspace(root), throwaway=True) as app:
                operator = (root / "credentials" / "operator.token").read_text().strip()
                ids, tokens = {"operator": made.operator}, {"operator": operator}
                for name, role, email in (("ada", "data_scientist", ""), ("fay", "compliance_officer", MAILBOX), ("cleo", "ml_lead", "")):
                    ids[name] = act(app, operator, RegisterPrincipal(type=PrincipalType.PERSON, name=name, email=email)).reply["principal"]
                    ends = expiry(app.clock.now_ns(), 86_400)
                    act(app, operator, GrantRole(principal=ids[name], role=role, reason="test", expires_at=ends))
                    tokens[name] = act(app, operator, IssueToken(principal=ids[name], lifetime_s=3600)).reply["token"]
                    path = root / "credentials" / f"{name}.token"
                    path.write_text(tokens[name])
                    path.chmod(0o600)
                found = House(app, ids, tokens, hook, post)
                found.mend("")  # those of the tokens
                yield found
        finally:
            with contextlib.suppress(Exception):
                remove_workspace(root)


@contextlib.contextmanager
def carrying(house: House) -> Iterator[None]:
    """The worker's own thread."""
    stopping = threading.Event()
    thread = threading.Thread(target=keep_delivered, args=(house.app.workspace, stopping), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(20)
        assert not thread.is_alive()


def until(found: Callable[[], Any], what: str, *, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not found():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def cli(house: House, capsys: pytest.CaptureFixture[str], who: str, *arguments: str) -> Any:
    capsys.readouterr()
    session = Session(workspace_given=str(house.app.workspace.root), opener=lambda _workspace: contextlib.nullcontext(house.app))
    code = run(["--as", who, "--json", *arguments], session)
    out, err = capsys.readouterr()
    return json.loads(out) if code == 0 else json.loads(err.splitlines()[-1])["code"]


def test_who_was_taken_past_is_told_within_seconds(
    house: House, capsys: pytest.CaptureFixture[str], record_property: Callable[[str, object], None]
) -> None:
    with carrying(house):
        time.sleep(0.6)  # so that its first round is over: what is measured is a worker that runs, not one that starts
        glass, began_s = house.break_glass(), time.monotonic()
        until(lambda: len(house.hook.got) >= 3 and house.post.mails, "nobody was told")
        took_s = time.monotonic() - began_s
        record_property("seconds from breaking glass to every receiver", round(took_s, 2))
        until(lambda: len(house.delivered()) == 4, "it is not on record")
    assert took_s < 20, "seconds, also on a machine that does much else"
    told = {json.loads(got.body)["data"]["to"] for got in house.hook.got}
    assert told == {house.ids["fay"], house.ids["cleo"], house.ids["operator"]}
    assert all(json.loads(got.body)["data"]["about"] == glass for got in house.hook.got)
    assert house.post.said.count(f"rcpt TO:<{MAILBOX}>") == len(house.post.mails) == 1
    ends = house.delivered()
    assert {key for key, end in ends.items() if (end.outcome, end.tries, end.why) == ("delivered", 1, "")} == {
        ("fay", house.way), ("cleo", house.way), ("operator", house.way), ("fay", "mail"),
    }  # fmt: skip
    assert all(0 < end.after_s < 20 for end in ends.values())
    mine = cli(house, capsys, "fay", "inbox", "deliveries")
    assert {(each["way"], each["state"], each["to"]) for each in mine} == {
        (house.way, "delivered", house.ids["fay"]), ("mail", "delivered", house.ids["fay"]),
    }  # fmt: skip
    assert cli(house, capsys, "fay", "inbox", "deliveries", "--all") == mine, "the policies that we come with open nobody's inbox to others"
    assert cli(house, capsys, "ada", "inbox", "deliveries") == []
    assert cli(house, capsys, "ada", "inbox", "deliveries", "--all") == "policy_denied"
    house.app.settle()
    event = decode_event(house.app.events.find(ends["fay", "mail"].as_of).raw)  # type: ignore[union-attr]
    assert (event.kind.name, event.resource, event.actor.type) == ("delivery.ended.v1", f"principals/{house.ids['fay']}", "process")
    house.mend(glass)
    assert house.delivered() == {}, "who has taken note is asked no more how they were told"
    assert compare_state(house.app, house.tokens["operator"]) == []


def test_no_secret_and_no_address_is_in_the_ledger_or_in_run(house: House) -> None:
    house.app.settle()
    for folder in ("ledger", "run"):
        for path in (house.app.workspace.root / folder).rglob("*"):
            if path.is_file():
                raw = path.read_bytes()
                assert MAILBOX.encode() not in raw, path
                assert SECRET.encode() not in raw, path


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once, three times in all: the same law, in less time."""
    monkeypatch.setattr(delivery, "AGAIN_AFTER_S", (0, 0))


def rounds(house: House, office: PostOffice, found: Callable[[], Any], what: str) -> None:
    """Go round as the worker does, until it is so."""

    def once() -> Any:
        office.go_round(house.app)
        office._free_at_s = dict.fromkeys(office._free_at_s, 0.0)  # the pause of a way is for the worker
        return found()

    until(once, what)


def office_of(house: House) -> PostOffice:
    return PostOffice(house.app.workspace, carriers_of(house.app.workspace, house.app.settings))


def test_what_failed_is_tried_again_under_the_same_id(house: House, impatient: None) -> None:
    house.hook.got.clear()
    house.hook.answers[:] = [500]
    glass = _reopened(house)
    rounds(house, office_of(house), lambda: len(house.delivered()) == 4, "not everything ended")
    assert len(house.hook.got) == 4
    first, *_ = house.hook.got
    again = [got for got in house.hook.got if got.headers["webhook-id"] == first.headers["webhook-id"]]
    assert len(again) == 2
    assert again[0].body == again[1].body
    assert sorted(end.tries for (_, way), end in house.delivered().items() if way == house.way) == [1, 1, 2]
    house.mend(glass)


def test_what_never_arrives_is_given_up_on_record(house: House, impatient: None, capfd: pytest.CaptureFixture[str]) -> None:
    house.hook.got.clear()
    house.hook.answers[:] = [503] * 9
    glass = _reopened(house)
    rounds(house, office_of(house), lambda: len(house.delivered()) == 4, "not everything ended")
    assert len(house.hook.got) == 9, "three notices, three tries each"
    ends = [end for (_, way), end in house.delivered().items() if way == house.way]
    assert {(end.outcome, end.tries, end.why) for end in ends} == {("failed", 3, "it answered 503")}
    assert "was given up by webhook:127.0.0.1" in capfd.readouterr().err
    assert {way.waiting for way in status_of(house.app.workspace).deliveries.ways} == {0}  # type: ignore[union-attr]
    house.mend(glass)


def test_tries_survive_a_restart_and_status_says_what_waits(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.hook.got.clear()
    house.hook.answers[:] = [500]
    glass = _reopened(house)

    def tried() -> Any:
        kept = read_deliveries(house.app.workspace)
        return kept and any(tries.count == 1 for tries in kept.tries.values())

    office = office_of(house)
    until(lambda: office.go_round(house.app) or tried(), "nothing was tried")
    next_one = office_of(house)  # as after a kill: all that it knows is in `run/` and in the database
    (failed,) = [key for key, tries in next_one._outbound._tries.items() if tries.count == 1]
    due = next_one._outbound.due(house.app)
    assert failed not in {f"{letter.notice.notice}/{letter.way}" for letters in due.values() for letter in letters}, "its time has not come"
    assert len(due[house.way]) == 2
    way = next(each for each in status_of(house.app.workspace).deliveries.ways if each.way == house.way)  # type: ignore[union-attr]
    assert (way.waiting, way.said) == (3, "it answered 500")
    assert way.oldest_at
    by_mail = next(each for each in status_of(house.app.workspace).deliveries.ways if each.way == "mail")  # type: ignore[union-attr]
    assert by_mail.without_address == 2
    with house.app.store.reading() as state:
        notice = state.get(rows.Notice, failed.partition("/")[0])
    whose = next(name for name, principal in house.ids.items() if notice is not None and principal == notice.to)
    (hook,) = [each for each in cli(house, capsys, whose, "inbox", "deliveries") if each["way"] == house.way]
    assert (hook["state"], hook["tries"], hook["why"]) == ("waiting", 1, "it answered 500")
    assert hook["at"] > by_mail.oldest_at
    deliveries_file(house.app.workspace).write_bytes(b"{torn")
    assert len(office_of(house)._outbound.due(house.app)[house.way]) == 3, "without its memory it begins again, and loses nothing"
    house.mend(glass)


def test_without_its_secret_nothing_counts_as_tried(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.hook.got.clear()
    house.hook.answers.clear()
    secret = house.app.workspace.keys / "webhook-secret"
    secret.chmod(0o644)
    glass = _reopened(house)
    office = office_of(house)
    until(lambda: office.go_round(house.app) or ("fay", "mail") in house.delivered(), "mail waits for a webhook")
    office.go_round(house.app)
    way = next(each for each in status_of(house.app.workspace).deliveries.ways if each.way == house.way)  # type: ignore[union-attr]
    assert (way.waiting, house.hook.got) == (3, [])
    assert "others than its owner can read" in way.said
    secret.chmod(0o600)
    rounds(house, office, lambda: len(house.delivered()) == 4, "it did not go on")
    assert {end.tries for end in house.delivered().values()} == {1}
    house.mend(glass)


def test_where_nothing_is_configured_nothing_is_sent(tmp_path: Path) -> None:
    (tmp_path / "jurat.toml").write_text(format_settings(Settings()))
    keep_delivered(Workspace(tmp_path), threading.Event())  # returns at once: it has no database to ask
    assert not deliveries_file(Workspace(tmp_path)).exists()


def _reopened(house: House) -> str:
    """Break glass again; what was broken before is reviewed first."""
    with house.app.store.reading() as state:
        windows = [each for each in state.find(rows.Glass) if not each.verdict]
    for each in windows:
        with contextlib.suppress(Exception):
            act(house.app, house.tokens["ada"], CloseGlass(glass=each.glass))
        command = ReviewGlass(glass=each.glass, verdict="justified", comment="test", acts=0, shown_digest="sha256:" + "0" * 64)
        act(house.app, house.tokens["fay"], command)
    house.mend("")
    return house.break_glass()
