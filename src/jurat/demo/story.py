"""The story that `jurat demo` plays: from a loan model's registration to a decision that anyone can verify.

Every step is the real thing: the real walk, real models, a real scoring server behind the real gateway, a real database,
real attacks on the real files. The chapters come in this order, and each leaves what it found in `Played`, which is what
`tests/journey/` asserts on.

    people → register → measure → gate → refuse → promote → serve → ask → prove → cheat
"""

from __future__ import annotations

import shutil
import tempfile
import time
from importlib.resources import files
from pathlib import Path
from typing import Final

from jurat.app import ask, cases, evaluate, soak
from jurat.app.bootstrap import init_workspace, remove_workspace
from jurat.app.tree import Tree
from jurat.app.walk import Done, act
from jurat.app.wiring import App, attach_app
from jurat.core.errors import Conflict, Denied
from jurat.core.settings import Settings, load_settings
from jurat.demo import cheat, lineage
from jurat.demo.cast import enter
from jurat.demo.dataset import load_rows, split_rows
from jurat.demo.finale import cheat_ledger, cheat_view
from jurat.demo.lineage import MODEL, SYSTEM
from jurat.demo.played import FIRST, SECOND, Played, Refusal, Teller
from jurat.demo.traffic import Answer, Bank, scoring_server
from jurat.demo.train import Trained, train
from jurat.domain import commands, facts, rows
from jurat.domain.gates import show_metric
from jurat.domain.values import PrincipalType, RiskTier
from jurat.ledger.evidence import verify_evidence
from jurat.ledger.keys import load_log_keys
from jurat.ledger.layout import log_keys_file, parse_log_name
from jurat.ledger.prove import prove_event

CONFIDENCE_FLOOR: Final = 0.6
SOAK_REQUESTS: Final = 60


def play(root: Path, tell: Teller, *, replace: bool = False) -> Played:
    """Play the whole story in a new workspace at `root`, and leave it there, stopped and whole.

    Args:
        replace: take away a workspace of an earlier demo that lies there.

    Raises:
        Conflict: something lies there.
        JuratError: the story did not go as it should; the workspace is left for a look.
    """
    began = time.monotonic()
    if (root / "jurat.toml").exists():
        if not replace:
            raise Conflict(f"`{root}` is a workspace already", hint="add `--replace` to play in its place, or name another directory")
        remove_workspace(root)
    settings = Settings(api_port=0, gateway_port=0)
    gates = (files("jurat.demo") / "data" / "gates.yaml").read_text("utf-8")
    created = init_workspace(
        root,
        operator_name="Olga Brandt",
        settings=settings,
        gates=gates,
        throwaway=True,
    )
    played = Played(created.workspace)
    tell.chapter("A workspace")
    tell.fact("workspace", str(root))
    tell.fact("operator", f"Olga Brandt ({created.operator})")
    tell.names[created.operator] = "Olga Brandt"
    operator = (created.workspace.credentials / "operator.token").read_text().strip()
    scratch = Path(tempfile.mkdtemp(prefix="jurat-demo-"))
    try:
        with (
            Tree(created.workspace, load_settings(created.workspace), mode="serve", throwaway=True) as tree,
            attach_app(created.workspace, application="demo") as app,
        ):
            _Acts(app, tree, tell, played, operator, scratch).run()
        tell.chapter("Cheat: an attacker with full rights on disk and in the database")
        cheat_ledger(played, tell, scratch / "older")
        cheat_view(played, tell)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    played.seconds["story"] = time.monotonic() - began
    return played


class _Acts:
    """The chapters while everything runs."""

    def __init__(self, app: App, tree: Tree, tell: Teller, played: Played, operator: str, scratch: Path) -> None:
        self.app, self.tree, self.tell, self.played, self.operator, self.scratch = app, tree, tell, played, operator, scratch
        self.trained: dict[str, Trained] = {}
        self.parts = split_rows(load_rows())

    def run(self) -> None:
        self.people()
        self.register()
        self.refuse_unmeasured()
        self.measure_and_gate()
        self.refuse()
        self.approve()
        self.promote_and_serve()
        self.ask_and_prove()

    def act(self, who: str, command: commands.Command) -> Done:
        return act(self.app, self.operator if who == "operator" else self.played.players[who].token, command)

    def people(self) -> None:
        self.tell.chapter("People: everyone has a role, for a reason, until a date")
        self.played.players = enter(self.app, self.operator)
        self.tell.names |= {player.principal: player.name for player in self.played.players.values()}
        with self.app.store.reading() as state:
            self.tell.names |= {
                each.principal: f"Jurat's {each.name}" for each in state.find(rows.Principal) if each.type is PrincipalType.PROCESS
            }
        self.tell.say(
            "(the operator made everybody's token. This workspace is to be thrown away and trusts that; in any other, such a token "
            "approves nothing until its person has changed it and a third person has vouched: `jurat credential`)"
        )
        for player in self.played.players.values():
            with self.app.store.reading() as state:
                held = [g.role for g in state.find(rows.Grant, principal=player.principal)]
            self.tell.fact(player.name, f"{', '.join(held)}  ({player.principal})")

    def register(self) -> None:
        self.tell.chapter("Register: data, code, and two candidate versions with their whole lineage")
        store = self.app.workspace.artefacts
        self.training = training = lineage.lay_out("training", self.parts["training"], self.scratch, store)
        self.evaluation = lineage.lay_out("evaluation", self.parts["evaluation"], self.scratch, store)
        for data in (training, self.evaluation):
            self.act("ada", data.register())
            self.tell.fact("data set", f"{data.name}, {len(data.rows)} rows, {data.digest[:19]}…")
        owner = self.played.players["dan"].principal
        system = commands.RegisterSystem(
            system=SYSTEM, purpose="decide on consumer credit", owner=owner, risk_tier=RiskTier.HIGH, affected_persons="applicants"
        )
        self.act("dan", system)
        self.tell.fact("system", f"{SYSTEM}, high risk, owned by Dan Ruiz")
        code = lineage.commit_code(self.app.workspace.root / "training-code")
        for version in ("1.0.0", "1.1.0"):
            trained = train(version, self.parts["training"], self.scratch)
            self.trained[f"{MODEL}@{version}"] = trained
            done = self.act("ada", lineage.register_version(trained, training, self.evaluation, code, store))
            fact = done.events[0].data
            assert isinstance(fact, facts.VersionRegistered)
            claim = trained.claimed_metrics["accuracy"]
            self.tell.fact(
                "version", f"{fact.version} {fact.digest[:19]}…, {trained.hyperparameters['estimator']}, commit {code.commit[:10]}"
            )
            self.tell.say(f"its author claims accuracy {claim:.2f} on the rows it learned from; a claim is not evidence")

    def refuse_unmeasured(self) -> None:
        self.tell.chapter("Refuse: nothing goes anywhere without its gates")
        self.refused(
            "promotion without gates", "ben", "promotes credit@1.1.0, unmeasured", commands.Promote(version=SECOND, to_stage="staging")
        )
        self.refused(
            "promotion past a stage",
            "ben",
            "promotes credit@1.1.0 to production at once",
            commands.Promote(version=SECOND, to_stage="production"),
        )

    def measure_and_gate(self) -> None:
        self.tell.chapter("Measure: Jurat evaluates both on held-out rows; then the gate of staging")
        for version in (FIRST, SECOND):
            began = time.monotonic()
            evaluate.evaluate(self.app, self.played.players["ada"].token, version, self.evaluation.path, self.evaluation.name)
            done = self.act("ada", commands.CheckGate(version=version, stage="staging"))
            fact = done.events[0].data
            assert isinstance(fact, facts.GateChecked)
            self.played.gates[version] = fact
            self.tell.clauses(f"{version}: {fact.verdict} ({time.monotonic() - began:.1f} s)", fact.clauses)

    def refuse(self) -> None:
        self.tell.chapter("Refuse: bias, curiosity, one's own approval, and two hats on one head")
        self.refused("a failed bias gate", "ada", "promotes credit@1.0.0", commands.Promote(version=FIRST, to_stage="staging"))
        self.refused(
            "an analyst reads training data",
            "eve",
            "asks for the training data",
            commands.ReadData(dataset=self.training.name, purpose="curiosity"),
        )

    def approve(self) -> None:
        self.tell.chapter("Approve: two different people, exactly this digest")
        asked = self.act("ben", commands.RequestPromotion(version=SECOND, to_stage="production", lifetime_s=86_400.0))
        fact = asked.events[0].data
        assert isinstance(fact, facts.PromotionRequested)
        self.request = fact.request
        self.tell.fact("request", f"{fact.request}: {fact.version} to {fact.to_stage}, shown {fact.shown_digest[:19]}…")
        approve = commands.Approve(request=fact.request, shown_digest=fact.shown_digest, comment="measured, and within the gates")
        self.refused("the author's own approval", "ada", "approves her own version", approve)
        self.act("cleo", approve)
        self.tell.fact("approved", "by Cleo Marsh, who is ML lead and product owner")
        self.refused("one person, two roles", "cleo", "approves again, with her other role", approve)
        self.act("ada", commands.Promote(version=SECOND, to_stage="staging"))
        self.tell.fact("promoted", f"{SECOND} to staging, by Ada Byron; the soak begins")
        self.refused(
            "one of two approvals", "ben", "promotes credit@1.1.0 to production", commands.Promote(version=SECOND, to_stage="production")
        )
        stale = commands.Approve(request=fact.request, shown_digest="sha256:" + "0" * 64)
        self.refused("an approval of something else", "dan", "approves what he was not shown", stale)
        self.act("dan", approve)
        self.tell.fact("approved", "by Dan Ruiz, product owner")

    def promote_and_serve(self) -> None:
        trained = self.trained[SECOND]
        log = self.app.workspace.run / "scoring.log"
        with scoring_server(trained.artefact, trained.artefact_digest, trained.features, trained.version, log) as upstream:
            self.tell.chapter("Soak, promote, serve: every prediction is durable before its answer leaves")
            self.point("credit-staging", upstream)
            with self.app.store.reading() as state:
                staged = state.get(rows.Version, SECOND)
            assert staged is not None
            self.send("credit-staging", SOAK_REQUESTS)
            time.sleep(3.2)  # the gate's own soak, which is seconds here
            soaked = soak.record_soak(self.app, self.played.players["ben"].token, SECOND).events[0].data
            assert isinstance(soaked, facts.EvidenceMeasured)
            self.tell.fact("soaked", "in staging: " + ", ".join(f"{m.name} {show_metric(m)}" for m in soaked.metrics))
            done = self.act("ben", commands.Promote(version=SECOND, to_stage="production", request=self.request))
            gate, promoted = done.events[0].data, done.events[1].data
            assert isinstance(gate, facts.GateChecked)
            assert isinstance(promoted, facts.VersionPromoted)
            self.played.gates["production"] = gate
            self.tell.clauses(f"{SECOND} to production: {gate.verdict}", gate.clauses)
            self.tell.fact("promoted", f"to production by Ben Okafor, on {len(promoted.approvals)} approvals ({done.events[1].id})")
            self.point("credit", upstream)
            cheat.copy_ledger(self.app.workspace, self.scratch / "older")
            began = time.monotonic()
            self.played.answers = self.send("credit", len(self.parts["applicants"]))
            took_s = time.monotonic() - began
        outcomes = {o: sum(a.outcome == o for a in self.played.answers) for o in ("released", "abstained")}
        self.tell.fact("served", f"{len(self.played.answers)} applicants in {took_s:.1f} s through the gateway, one after the other")
        held = f"{outcomes['abstained']} under the floor of {CONFIDENCE_FLOOR:g}: left to a person"
        self.tell.fact("answers", f"{outcomes['released']} released, {held}")
        self.played.seconds["serve"] = took_s
        self.override()

    def point(self, endpoint: str, upstream: str) -> None:
        self.act(
            "operator",
            commands.ConfigureEndpoint(endpoint=endpoint, version=SECOND, upstream=upstream, confidence_floor=CONFIDENCE_FLOOR),
        )

    def send(self, endpoint: str, count: int) -> list[Answer]:
        time.sleep(0.3)  # the gateway looks for a new endpoint every 100 ms
        bank = Bank(self.tree.ports["gateway"], endpoint, self.played.players["crm"].token, self.trained[SECOND].schema)
        try:
            return [bank.ask(applicant) for applicant in self.parts["applicants"][:count]]
        finally:
            bank.close()

    def override(self) -> None:
        case = next(a for a in self.played.answers if a.outcome == "abstained")
        gil = self.played.players["gil"]
        cases.override(self.app, gil.token, case.prediction, True, "steady income shown at the counter; repaid two earlier credits")
        self.played.overridden = case.prediction
        self.tell.fact("decided", f"{case.prediction} by Gil Tamm, in place of the model")

    def ask_and_prove(self) -> None:
        self.tell.chapter("Ask: why was this applicant refused?")
        refused = next(a for a in self.played.answers if a.outcome == "released" and a.approved is False)
        self.played.refused_applicant = refused.prediction
        fay = self.played.players["fay"]
        self.tell.say(f"$ jurat --as fay ask why {refused.prediction}")
        self.played.story = ask.why(self.app, fay.token, refused.prediction)
        self.tell.story(self.played.story)

        self.tell.chapter("Prove: one file, checked offline with nothing but the logs' public keys")
        answer_line = next(line for line in self.played.story.lines if line.about == "answer")
        stored = self.app.events.find(answer_line.event)
        assert stored is not None
        log = parse_log_name(stored.log)
        with self.app.ledger() as ledger:
            ledger.flush()
            receipt = ledger.receipt_for(log, stored.index)
        keys = load_log_keys(log_keys_file(self.app.workspace.keys))
        path = self.app.workspace.root / "refused-applicant.evidence.json"
        path.write_bytes(prove_event(self.app.workspace.ledger, stored, keys, receipt))
        self.played.evidence_file = path
        self.played.evidence = verify_evidence(path.read_bytes(), keys)
        self.played.target = cheat.Target(answer_line.event, log, stored.index)
        self.tell.say(f"$ jurat verify {path.name} --keys keys/log-keys.json")
        for step in self.played.evidence.steps:
            self.tell.fact("checked" if step.is_checked else "not in it", step.what)

    def refused(self, name: str, who: str, what: str, command: commands.Command) -> None:
        player = self.played.players[who]
        try:
            self.act(who, command)
        except (Denied, Conflict) as error:
            self.played.refusals.append(Refusal(name, error.code, error.detail, error.hint, str(error.fields["event"])))
            self.tell.refused(player.name, what, self.played.refusals[-1])
            return
        raise Conflict(f"the story expected a refusal: {name}", code="story_broken")
