"""The catalogue of events: every kind, its number in the log, its retention class.

LAW OF THIS TABLE: a code, once used, is never given to another kind and never removed; a kind's meaning never changes
(a new version of it is a new line). Codes are part of the ledger's entry format (`ledger.md` §3.2).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from jurat.core.errors import Malformed


class RetentionClass(StrEnum):
    """Each kind has one; each has its own log."""

    TRAINING = "training"
    DEPLOYMENT = "deployment"
    INFERENCE = "inference"
    ACCESS = "access"
    CONFIGURATION = "configuration"
    ERROR = "error"


class Kind(NamedTuple):
    """A named kind of event."""

    code: int
    name: str
    retention: RetentionClass | None  # None: it lives in every class, in the log that it speaks of
    meaning: str

    def belongs_in(self, retention: str) -> bool:
        """Whether an event of this kind may lie in the log of that class."""
        return self.retention is None or self.retention == retention


_C = RetentionClass
CATALOGUE: Final = (
    Kind(1, "workspace.created.v1", _C.CONFIGURATION, "a workspace was made, with these log keys"),
    Kind(2, "principal.registered.v1", _C.CONFIGURATION, "someone or something that can act became known"),
    Kind(3, "policy_set.applied.v1", _C.CONFIGURATION, "this set of policies is in force from now on"),
    Kind(4, "gates.applied.v1", _C.CONFIGURATION, "this gate file is in force from now on"),
    Kind(5, "endpoint.configured.v1", _C.CONFIGURATION, "an inference endpoint points at a server, with these guardrails"),
    Kind(6, "events.imported.v1", _C.CONFIGURATION, "reserved: records of another system were taken over"),
    Kind(10, "role.granted.v1", _C.ACCESS, "a principal holds a role, for a reason, until a time"),
    Kind(11, "role.revoked.v1", _C.ACCESS, "a grant ended before its time"),
    Kind(12, "token.issued.v1", _C.ACCESS, "an access token was handed out (its hash is in the vault)"),
    Kind(13, "token.revoked.v1", _C.ACCESS, "an access token ended before its time"),
    Kind(14, "act.denied.v1", _C.ACCESS, "an act was refused, by a policy or by a rule, for these reasons"),
    Kind(15, "data.read.v1", _C.ACCESS, "someone was given a data set to read, for a purpose"),
    Kind(16, "records.read.v1", _C.ACCESS, "someone read the ledger"),
    Kind(20, "dataset.registered.v1", _C.TRAINING, "a version of a data set became known by its digest"),
    Kind(21, "evidence.measured.v1", _C.TRAINING, "a result was measured on a version's digest"),
    Kind(22, "artefact.scanned.v1", _C.TRAINING, "an artefact was scanned before anything loaded it"),
    Kind(30, "system.registered.v1", _C.DEPLOYMENT, "an AI system, with purpose, owner and risk tier, became known"),
    Kind(31, "version.registered.v1", _C.DEPLOYMENT, "an immutable model version became known by its digest"),
    Kind(32, "gate.checked.v1", _C.DEPLOYMENT, "a gate was checked against evidence, with this verdict"),
    Kind(33, "promotion.requested.v1", _C.DEPLOYMENT, "a promotion waits for approval of exactly this digest"),
    Kind(34, "request.approved.v1", _C.DEPLOYMENT, "one person approved exactly what was shown"),
    Kind(35, "request.rejected.v1", _C.DEPLOYMENT, "one person said no, with a reason"),
    Kind(36, "version.promoted.v1", _C.DEPLOYMENT, "a version moved to a later stage"),
    Kind(37, "version.retired.v1", _C.DEPLOYMENT, "a version left service"),
    Kind(50, "prediction.requested.v1", _C.INFERENCE, "a prediction was asked for and is about to be sent to the model"),
    Kind(51, "prediction.made.v1", _C.INFERENCE, "a model answered; the answer was released, withheld or abstained from"),
    Kind(52, "prediction.overridden.v1", _C.INFERENCE, "a person decided a case in place of the model"),
    Kind(70, "prediction.failed.v1", _C.ERROR, "a prediction got no answer"),
    Kind(71, "guardrail.failed.v1", _C.ERROR, "a guardrail could not run; what happened instead is named"),
    Kind(72, "event.rejected.v1", _C.ERROR, "an event was refused; its commitment and the reason are kept"),
    Kind(73, "retention.shortening_requested.v1", _C.CONFIGURATION, "a table that keeps something for a shorter time waits for approval"),
    Kind(74, "retention.shortening_approved.v1", _C.CONFIGURATION, "another person said yes to exactly this table"),
    Kind(75, "retention.shortening_rejected.v1", _C.CONFIGURATION, "another person said no to it, with a reason"),
    Kind(76, "log.key_rotated.v1", _C.CONFIGURATION, "a log has new keys from this size on; the old ones sign beside them for a while"),
    Kind(78, "producer.silent.v1", _C.ERROR, "a producer that promised a word each period gave none for two"),
    Kind(80, "retention.applied.v1", _C.CONFIGURATION, "this table says how long events are kept from now on"),
    Kind(81, "hold.placed.v1", _C.CONFIGURATION, "what this predicate meets neither expires nor is erased"),
    Kind(82, "hold.released.v1", _C.CONFIGURATION, "a hold ended, for a reason"),
    Kind(83, "erasure.requested.v1", _C.CONFIGURATION, "somebody asked that the content of exactly these events goes"),
    Kind(84, "erasure.approved.v1", _C.CONFIGURATION, "another person said yes; from here on nobody is shown them"),
    Kind(85, "erasure.rejected.v1", _C.CONFIGURATION, "another person said no, with a reason"),
    Kind(86, "erasure.started.v1", _C.CONFIGURATION, "an approved erasure is about to be carried out"),
    Kind(87, "events.erased.v1", _C.CONFIGURATION, "content and salts of these events are gone; a search found nothing"),
    Kind(88, "events.expired.v1", _C.CONFIGURATION, "the time of these events is over, and their rows go"),
    Kind(89, "log.pruned.v1", _C.CONFIGURATION, "entries and full tiles below this index are refused from now on"),
    Kind(90, "producer.opened.v1", None, "a producer begins a stream of events in this log"),
    Kind(91, "producer.heartbeat.v1", None, "a producer is alive; so far its stream goes, and this is the hash of it"),
    Kind(92, "producer.closed.v1", None, "a producer's stream ends here; nothing follows in its epoch"),
    Kind(93, "producer.registered.v1", _C.CONFIGURATION, "an outside producer may record events, under this number"),
    Kind(94, "training.observed.v1", _C.TRAINING, "an outside producer's event, in its own bytes"),
    Kind(95, "deployment.observed.v1", _C.DEPLOYMENT, "an outside producer's event, in its own bytes"),
    Kind(96, "inference.observed.v1", _C.INFERENCE, "an outside producer's event, in its own bytes"),
    Kind(97, "access.observed.v1", _C.ACCESS, "an outside producer's event, in its own bytes"),
    Kind(98, "configuration.observed.v1", _C.CONFIGURATION, "an outside producer's event, in its own bytes"),
    Kind(99, "error.observed.v1", _C.ERROR, "an outside producer's event, in its own bytes"),
    Kind(140, "policy_change.requested.v1", _C.CONFIGURATION, "somebody asked to put exactly this set of policies into force"),
    Kind(141, "policy_change.approved.v1", _C.CONFIGURATION, "another person said yes, and the set is in force"),
    Kind(142, "policy_change.rejected.v1", _C.CONFIGURATION, "another person said no, with a reason"),
    Kind(143, "policy_shadow.set.v1", _C.CONFIGURATION, "from here on a candidate answers beside the set in force, or no longer does"),
    Kind(144, "access.decided.v1", _C.ACCESS, "an enforcement point asked what the policies say, and got this answer"),
    Kind(100, "session.opened.v1", _C.ACCESS, "somebody signed in, or was let in on a proof"),
    Kind(101, "session.ended.v1", _C.ACCESS, "a session ended, and every token of it"),
    Kind(102, "connections.cut.v1", _C.ACCESS, "what was open by a token that ended was closed, after this long"),
    Kind(103, "token_keys.rotated.v1", _C.CONFIGURATION, "access tokens are signed by this key from now on"),
    Kind(104, "provider.registered.v1", _C.CONFIGURATION, "people may sign in at this identity provider"),
    Kind(105, "provider.removed.v1", _C.CONFIGURATION, "nobody signs in at this identity provider any more"),
    Kind(106, "trust.declared.v1", _C.CONFIGURATION, "tokens of this issuer with these claims are the word of that workload"),
    Kind(107, "trust.ended.v1", _C.CONFIGURATION, "a rule that believed an issuer's tokens ended"),
    Kind(108, "identity.invited.v1", _C.ACCESS, "a person may link an account at a provider, once"),
    Kind(109, "identity.linked.v1", _C.ACCESS, "a provider's word on one account is this person from now on"),
    Kind(110, "principal.deactivated.v1", _C.ACCESS, "a principal can act no more; this lists all that died with it"),
    Kind(111, "principal.reactivated.v1", _C.ACCESS, "a principal may act again; what died stays dead"),
    Kind(112, "ownership.transferred.v1", _C.ACCESS, "another person answers for these services, agents and processes"),
    Kind(113, "person.described.v1", _C.ACCESS, "a directory said who a person is; what it said is in the vault"),
    Kind(114, "group.defined.v1", _C.ACCESS, "a directory's group has this name and these members"),
    Kind(115, "group.removed.v1", _C.ACCESS, "a directory's group is no more"),
    Kind(116, "group_roles.applied.v1", _C.CONFIGURATION, "this table says which groups' members hold which roles"),
    Kind(117, "link.issued.v1", _C.ACCESS, "a link that works once was handed out, to register a passkey"),
    Kind(118, "passkey.added.v1", _C.ACCESS, "a person can sign in with this passkey"),
    Kind(119, "passkey.removed.v1", _C.ACCESS, "a passkey is good for nothing any more, for this reason"),
    Kind(120, "access_rules.applied.v1", _C.CONFIGURATION, "these duties, approvals, break-glass and reviews are the rules from now on"),
    Kind(121, "access.requested.v1", _C.ACCESS, "somebody asked for a role, for a reason, for a time"),
    Kind(122, "access.approved.v1", _C.ACCESS, "one person said yes to exactly this access"),
    Kind(123, "access.rejected.v1", _C.ACCESS, "one person said no to an access, with a reason"),
    Kind(124, "role.expired.v1", _C.ACCESS, "a grant had ended by itself; a clock took note"),
    Kind(125, "glass.broken.v1", _C.ACCESS, "somebody took a role in an emergency, past those who would have been asked"),
    Kind(126, "glass.closed.v1", _C.ACCESS, "a break-glass window is over, and its grant with it"),
    Kind(127, "glass.reviewed.v1", _C.ACCESS, "somebody else looked at every act in a break-glass window"),
    Kind(128, "notice.given.v1", _C.ACCESS, "a person was told of something that concerns them"),
    Kind(129, "notice.seen.v1", _C.ACCESS, "a person took note of a notice"),
    Kind(130, "drill.reported.v1", _C.ACCESS, "break-glass was drilled, and this is how long each step took"),
    Kind(131, "review.opened.v1", _C.ACCESS, "every live grant was put before somebody who answers for it, with its use"),
    Kind(132, "review.answered.v1", _C.ACCESS, "one person said whether a grant stays"),
    Kind(133, "review.closed.v1", _C.ACCESS, "an access review is over; what nobody answered for is gone"),
    Kind(150, "registry_model.created.v1", _C.DEPLOYMENT, "a registered model was made, as MLflow's clients know one"),
    Kind(151, "registry_model.changed.v1", _C.DEPLOYMENT, "a registered model got another name, description or tags"),
    Kind(152, "registry_entry.deleted.v1", _C.DEPLOYMENT, "a registered model, or one version of it, was taken out of the registry"),
    Kind(153, "registry_version.created.v1", _C.DEPLOYMENT, "a registered model got a version, whose bytes are its author's claim"),
    Kind(154, "registry_version.changed.v1", _C.DEPLOYMENT, "a registry's version got another stage, description or tags"),
    Kind(155, "run.imported.v1", _C.TRAINING, "what another server says of a training run was taken over, as claims"),
    Kind(156, "registry_alias.moved.v1", _C.DEPLOYMENT, "an alias of a registered model names another version, or none"),
    Kind(157, "registry_version.bound.v1", _C.DEPLOYMENT, "the bytes behind a registry's entry are those of this measured version"),
    Kind(158, "registry_protection.applied.v1", _C.CONFIGURATION, "these aliases may name only what passed the gates of production"),
    Kind(180, "rollout.started.v1", _C.DEPLOYMENT, "a version begins to get an endpoint's traffic, in these steps, or copies of it"),
    Kind(181, "rollout.moved.v1", _C.DEPLOYMENT, "a rollout went on to a larger share, or was paused or resumed"),
    Kind(182, "rollout.ended.v1", _C.DEPLOYMENT, "a rollout was completed, rolled back or aborted, for this reason"),
    Kind(183, "endpoint.rolled_back.v1", _C.DEPLOYMENT, "an endpoint serves again, at once, what it served before"),
    Kind(184, "routing.in_effect.v1", _C.DEPLOYMENT, "a gateway serves by a change of traffic, so long after it"),
    Kind(185, "prediction.shadowed.v1", _C.INFERENCE, "a version in the shadow answered too; nobody was given its answer"),
    Kind(186, "request.shown.v1", _C.ACCESS, "a person was shown what a request asks them to approve"),
    Kind(187, "artefact.released.v1", _C.DEPLOYMENT, "a version's bytes were handed out, for a stage whose gates it passed"),
    Kind(188, "deployment.authorized.v1", _C.DEPLOYMENT, "exactly this version may be put to work in this stage, until then"),
    Kind(159, "registry_act.forwarded.v1", _C.DEPLOYMENT, "a held act of a guarded MLflow server is about to be passed on, or was"),
    Kind(160, "system.changed.v1", _C.DEPLOYMENT, "an AI system has another owner, tier, purpose or environment, for this reason"),
    Kind(161, "asset.registered.v1", _C.DEPLOYMENT, "a prompt, agent, guardrail setting or feature schema became known by its digest"),
    Kind(162, "artefact.verified.v1", _C.TRAINING, "the bytes behind a reference were read here, and have their digest"),
    Kind(163, "lineage.recorded.v1", _C.TRAINING, "a pipeline told what one run of a job read and wrote"),
    Kind(164, "upstream.changed.v1", _C.DEPLOYMENT, "something that versions rest on was recalled, relicensed or found flawed"),
    Kind(165, "approvals.reopened.v1", _C.DEPLOYMENT, "a version's approvals count no more until it is approved again, knowing of that"),
    Kind(166, "reopening_rules.applied.v1", _C.CONFIGURATION, "this happens to versions in production when something upstream changes"),
    Kind(167, "version.reaffirmed.v1", _C.DEPLOYMENT, "people approved a version again, knowing what changed upstream"),
    Kind(168, "upstream.cleared.v1", _C.DEPLOYMENT, "a change upstream was taken back, for a reason"),
    Kind(190, "credential.vouched.v1", _C.ACCESS, "a third person said that a credential is its person's alone"),
    Kind(192, "caller.refused.v1", _C.ACCESS, "somebody who is suspended went on asking at a door, so often in a minute"),
    Kind(191, "grant.confirmed.v1", _C.ACCESS, "a second person said yes to a grant that one gave without a request"),
    Kind(193, "delivery.ended.v1", _C.ACCESS, "a notice was sent on by this way, or was given up after so many tries"),
    Kind(205, "artefacts.cleaned.v1", _C.DEPLOYMENT, "bytes that nothing on record speaks of are about to go"),
    Kind(206, "intents.orphaned.v1", _C.ERROR, "what was about to be done got no outcome on record"),
    Kind(207, "view.differs.v1", _C.ERROR, "rows of the database are not what the ledger says"),
    Kind(208, "database.recovered.v1", _C.CONFIGURATION, "the database was gone, and was folded again from the ledger"),
    Kind(200, "signature.checked.v1", _C.TRAINING, "a signature file was held against a version, with this result"),
    Kind(201, "signer.trusted.v1", _C.CONFIGURATION, "model signatures by this key, or certificate, count from now on"),
    Kind(202, "signer.distrusted.v1", _C.CONFIGURATION, "model signatures by a signer count no more, nor what they had proved"),
    Kind(203, "advisories.imported.v1", _C.DEPLOYMENT, "these advisories on packages are what versions are held against from now on"),
)

BY_NAME: Final = {kind.name: kind for kind in CATALOGUE}
BY_CODE: Final = {kind.code: kind for kind in CATALOGUE}
# What outside producers say, by class. Its bytes are theirs: they are not in our envelope, and nothing in them is our word.
OBSERVED: Final = {kind.retention: kind for kind in CATALOGUE if kind.retention is not None and kind.name.endswith(".observed.v1")}
OBSERVED_CODES: Final = frozenset(kind.code for kind in OBSERVED.values())
OPENED: Final = BY_NAME["producer.opened.v1"]
HEARTBEAT: Final = BY_NAME["producer.heartbeat.v1"]
CLOSED: Final = BY_NAME["producer.closed.v1"]


def kind_named(name: str) -> Kind:
    """Return the kind of that name.

    Raises:
        Malformed: there is none.
    """
    try:
        return BY_NAME[name]
    except KeyError:
        raise Malformed(f"event kind `{name[:80]}` is not in the catalogue", hint="see docs/words.md for the kinds there are") from None


class Producer(NamedTuple):
    """A service of ours that writes to the ledger. Numbers follow the same law as kinds."""

    code: int
    name: str


RELAY: Final = Producer(1, "relay")  # moves PostgreSQL's outbox into the ledger
GATEWAY: Final = Producer(2, "gateway")  # predictions, as they happen
CONTROL: Final = Producer(3, "control")  # observations of the API and the command line (reads)
BENCH: Final = Producer(900, "bench")  # load tests only
PRODUCERS: Final = {p.code: p for p in (RELAY, GATEWAY, CONTROL, BENCH)}
FIRST_OUTSIDE: Final = 1_000  # numbers from here on are registered by acts, and name producers that are not of this code


def is_producer(code: int) -> bool:
    """Whether that number can be a producer's: one of ours, or one that a workspace may have registered."""
    return code in PRODUCERS or FIRST_OUTSIDE <= code < 2**32
