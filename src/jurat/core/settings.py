"""`jurat.toml`: one table of keys, types, defaults and help. Read once, in `app/wiring.py`; frozen afterwards.

An unknown key, a wrong type or a newer format stops the start with a hint. Nothing connects here.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from jurat.core.destinations import MOST_WEBHOOKS, check_webhook, is_mailbox, parse_mail_server
from jurat.core.errors import Malformed, NotFound
from jurat.core.units import parse_duration_s
from jurat.core.workspace import FORMAT_VERSION, Workspace

_LARGEST_EVENT_BYTES: Final = 16 * 1024 * 1024  # what one append to the ledger can carry


def _setting(default: object, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting there is. A key's help is its documentation: `jurat init` writes it into the file."""

    format: int = _setting(FORMAT_VERSION, "version of the workspace's layout; written by `jurat init`, never by hand")
    tenant: str = _setting("main", "name of the tenant; part of every log's origin")
    log_host: str = _setting("jurat.local", "first part of every log's origin, a name you control; fixed once the first event is sealed")
    api_port: int = _setting(8700, "port of the HTTP API on `bind`; 0 takes a free one")
    gateway_port: int = _setting(8701, "port of the inference gateway on `bind`; 0 takes a free one")
    bind: str = _setting("127.0.0.1", "address that the doors listen on; anything but loopback wants TLS in front")
    publish_interval: str = _setting("1s", "how often the logs are sealed: 200ms to 10s")
    merge_delay: str = _setting("10s", "promised time from receipt to seal (MMD)")
    lock_path: str = _setting("lock/lock.sqlite", "last signed checkpoints; relative to the workspace; another volume is better")
    environment: str = _setting("production", "what this workspace is; policies read it as `context.environment`")
    public_url: str = _setting("", "https address of the API as others reach it, and issuer of its tokens; empty: https://<log_host>")
    gateway_url: str = _setting("", "https address of the gateway as others reach it; empty: on this machine only")
    session_lifetime: str = _setting("8h", "how long a sign-in lasts at most")
    session_idle: str = _setting("30min", "how long a browser's session lives unused; `off`: until its end")
    dpop_nonce: str = _setting("off", "`on`: a proof of possession carries a nonce of ours, so that none is made ahead of time")
    token_lifetime: str = _setting("15min", "default lifetime of an access token")
    approval_lifetime: str = _setting("7d", "how long a request and its approvals stay valid")
    artefact_store: str = _setting("", "where artefacts lie: `s3://bucket/prefix` or `file:///folder`; empty: in the workspace")
    database_bin: str = _setting("", "a directory with `initdb` and `postgres` of version 15 or later; empty: the ones in the wheel")
    database_user: str = _setting("", "account that PostgreSQL runs under when jurat runs as root; empty: `jurat` or `postgres`")
    retention_run: str = _setting("1d", "how often `jurat serve` takes away what is due by the retention table; `off`: by hand only")
    compare_at: str = _setting("03:10", "time of day, UTC, at which `jurat serve` holds the database against the ledger; acts wait; `off`")
    prune_grace: str = _setting("1h", "how long pruned entries are only refused before the space that they take is freed; `0s`: at once")
    webhooks: tuple[str, ...] = _setting((), "https addresses that get every notice, signed with `keys/webhook-secret`; a list")
    webhooks_plain: str = _setting("off", "`on`: webhooks beyond loopback may be `http`; anybody on the way reads along")
    mail_server: str = _setting(
        "", "`host:port` that takes mail; notices go to whoever has an address; login: `keys/mail-login`; empty: none"
    )
    mail_from: str = _setting("", "the address that mailed notices come from")
    max_event_bytes: int = _setting(1_048_576, "largest event that is accepted")
    min_group_size: int = _setting(30, "rows; a fairness figure over a smaller group is `not_enough_data`")

    @property
    def publish_interval_s(self) -> float:
        return parse_duration_s(self.publish_interval)

    @property
    def retention_run_s(self) -> float | None:
        """Seconds between two runs; None: the clock runs none."""
        return None if self.retention_run == "off" else parse_duration_s(self.retention_run)

    @property
    def session_idle_s(self) -> float:
        """Seconds; 0: however long."""
        return 0.0 if self.session_idle == "off" else parse_duration_s(self.session_idle)

    @property
    def prune_grace_s(self) -> float:
        return parse_duration_s(self.prune_grace)

    @property
    def merge_delay_s(self) -> float:
        return parse_duration_s(self.merge_delay)


_DEFAULTS: Final = Settings()


def load_settings(workspace: Workspace) -> Settings:
    """Return the workspace's settings.

    Raises:
        NotFound: there is no workspace here.
        Malformed: not TOML, an unknown key, a wrong type or value, or a newer format.
    """
    path = workspace.settings_file
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(
            f"`{workspace.root}` is not a jurat workspace: it has no `jurat.toml`", hint=f"make one with `jurat init {workspace.root}`"
        ) from None
    try:
        found = tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Malformed(
            f"`{path}` is not TOML: {str(error).lower()}", hint="repair that line, or compare with a fresh `jurat init`"
        ) from error
    return parse_settings(found, source=str(path))


def parse_settings(found: dict[str, Any], *, source: str) -> Settings:
    """Return the settings in a parsed table; what is missing takes its default."""
    version = found.get("format", FORMAT_VERSION)
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise Malformed(
            f"`{source}` has format `{version}`, this jurat reads up to `{FORMAT_VERSION}`",
            hint="the workspace was made by a newer jurat: install that version or a later one",
            code="workspace_too_new",
        )
    known = {item.name: item for item in fields(Settings)}
    for key, value in found.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(known)}"
            raise Malformed(f"unknown key `{key}` in `{source}`", hint=hint, code="unknown_setting")
        expected = list if isinstance(getattr(_DEFAULTS, key), tuple) else type(getattr(_DEFAULTS, key))
        if type(value) is not expected or (expected is list and not all(isinstance(each, str) for each in value)):
            what = "list` of `str" if expected is list else expected.__name__
            raise Malformed(f"`{key}` in `{source}` is a `{type(value).__name__}`, expected a `{what}`")
    frozen: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in found.items()}
    settings = Settings(**frozen)
    _check(settings, source)
    return settings


def format_settings(settings: Settings) -> str:
    """Return the text of a `jurat.toml`, each key under its help."""
    lines = ["# Settings of this jurat workspace. Unknown keys are refused.", ""]
    for item in fields(settings):
        value = getattr(settings, item.name)
        if isinstance(value, tuple):
            lines += [f"# {item.metadata['help']}", f"{item.name} = {json.dumps(value)}", ""]
            continue
        shown = str(value) if isinstance(value, int) else '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
        lines += [f"# {item.metadata['help']}", f"{item.name} = {shown}", ""]
    return "\n".join(lines)


def lock_file(workspace: Workspace, settings: Settings) -> Path:
    """Return where the lock store lies: an absolute `lock_path`, or one relative to the workspace."""
    return workspace.root / settings.lock_path


def database_url() -> str | None:
    """Return the organisation's own server from `JURAT_DATABASE_URL`, or None for the embedded one."""
    return os.environ.get("JURAT_DATABASE_URL") or None


def _check(settings: Settings, source: str) -> None:
    if settings.dpop_nonce not in ("on", "off"):
        raise Malformed(f"`dpop_nonce` in `{source}` is `{settings.dpop_nonce[:40]}`, expected `on` or `off`")
    for key in ("publish_interval", "merge_delay", "token_lifetime", "session_lifetime", "approval_lifetime", "session_idle"):
        if key == "session_idle" and settings.session_idle == "off":
            continue
        try:
            parse_duration_s(getattr(settings, key))
        except Malformed as error:
            raise Malformed(f"`{key}` in `{source}`: {error.detail}", hint=error.hint) from error
        if parse_duration_s(getattr(settings, key)) == 0:
            raise Malformed(f"`{key}` in `{source}` is `{getattr(settings, key)}`, expected more than nothing")
    if settings.compare_at != "off" and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", settings.compare_at):
        raise Malformed(f"`compare_at` in `{source}` is `{settings.compare_at}`, expected a time of day such as `03:10`, or `off`")
    if settings.artefact_store and not settings.artefact_store.startswith(("s3://", "file:///")):
        raise Malformed(f"`artefact_store` in `{source}` is `{settings.artefact_store}`, expected `s3://bucket/prefix` or `file:///folder`")
    for key, text in (("retention_run", settings.retention_run), ("prune_grace", settings.prune_grace)):
        try:
            seconds = None if (key, text) == ("retention_run", "off") else parse_duration_s(text)
        except Malformed as error:
            raise Malformed(f"`{key}` in `{source}`: {error.detail}", hint=error.hint) from error
        if key == "retention_run" and seconds is not None and seconds < 60:
            raise Malformed(f"`retention_run` in `{source}` is `{text}`, expected `1min` or more, or `off`")
    _check_destinations(settings, source)
    if not 0.2 <= settings.publish_interval_s <= 10:
        raise Malformed(f"`publish_interval` in `{source}` is `{settings.publish_interval}`, expected `200ms` to `10s`")
    if settings.merge_delay_s < settings.publish_interval_s:
        raise Malformed(
            f"`merge_delay` in `{source}` is `{settings.merge_delay}`, expected at least `publish_interval`, `{settings.publish_interval}`",
            hint="no log can be sealed sooner than its next seal; a promise that is always broken is none",
        )
    for key in ("api_port", "gateway_port"):
        if not 0 <= getattr(settings, key) <= 65535:
            raise Malformed(f"`{key}` in `{source}` is `{getattr(settings, key)}`, expected 0 to 65535")
    if not 1024 <= settings.max_event_bytes <= _LARGEST_EVENT_BYTES:
        raise Malformed(f"`max_event_bytes` in `{source}` is `{settings.max_event_bytes}`, expected 1024 to {_LARGEST_EVENT_BYTES}")
    if settings.min_group_size < 1:
        raise Malformed(f"`min_group_size` in `{source}` is `{settings.min_group_size}`, expected at least 1: no rows are no evidence")
    for key in ("tenant", "log_host"):
        text = getattr(settings, key)
        if not text or not all(c.isascii() and (c.isalnum() or c in "-.") for c in text):
            raise Malformed(f"`{key}` in `{source}` is `{text}`, expected letters, digits, `-` and `.`")


def _check_destinations(settings: Settings, source: str) -> None:
    if settings.webhooks_plain not in ("on", "off"):
        raise Malformed(f"`webhooks_plain` in `{source}` is `{settings.webhooks_plain[:40]}`, expected `on` or `off`")
    if len(settings.webhooks) > MOST_WEBHOOKS or len(set(settings.webhooks)) < len(settings.webhooks):
        raise Malformed(f"`webhooks` in `{source}` has {len(settings.webhooks)} addresses, expected at most {MOST_WEBHOOKS}, each once")
    for url in settings.webhooks:
        try:
            check_webhook(url, plain=settings.webhooks_plain == "on")
        except Malformed as error:
            raise Malformed(f"`webhooks` in `{source}`: {error.detail}", hint=error.hint) from error
    if settings.mail_server:
        try:
            parse_mail_server(settings.mail_server)
        except Malformed as error:
            raise Malformed(f"`mail_server` in `{source}`: {error.detail}", hint=error.hint) from error
    if (settings.mail_server or settings.mail_from) and not is_mailbox(settings.mail_from):
        raise Malformed(f"`mail_from` in `{source}` is `{settings.mail_from[:80]}`, expected an address such as `jurat@example.org`")
