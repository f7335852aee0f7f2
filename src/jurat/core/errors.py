"""The one tree of errors. Every refusal that a user can meet is one of these.

    JuratError
    ├── Malformed        we cannot read it                       HTTP 400, exit 2
    ├── Unauthenticated  we do not know you                      HTTP 401, exit 3
    ├── Denied           the policy or a rule says no; recorded  HTTP 403, exit 3
    ├── NotFound         no such thing, or none you may see      HTTP 404, exit 4
    ├── Conflict         a rule or a version stands in the way   HTTP 409, exit 4
    ├── Exhausted        a limit or a budget is used up          HTTP 429, exit 5
    ├── Unavailable      a dependency is away, outcome known     HTTP 503, exit 5
    └── Tampered         evidence disagrees with the log; stop   HTTP 500, exit 6

Grammar: lower case, no final period, the user's input in backticks, what was expected and what was got. The hint
says what to do and whom to ask. Nothing secret and no personal data goes into either: both are shown and logged.
"""

from __future__ import annotations

from typing import ClassVar


class JuratError(Exception):
    """Something a user must be told, in words that help.

    Args:
        detail: what is wrong, public.
        hint: what to do now, and whom to ask; public; may be empty.
        code: a stable name for programs; defaults to the family's name.
        fields: typed facts for programs (ids, numbers), public.
    """

    family: ClassVar[str] = "error"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, detail: str, *, hint: str = "", code: str = "", **fields: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.code = code or self.family
        self.fields = fields


class Malformed(JuratError):
    family, http_status, exit_code = "malformed", 400, 2


class Unauthenticated(JuratError):
    family, http_status, exit_code = "unauthenticated", 401, 3


class Denied(JuratError):
    family, http_status, exit_code = "denied", 403, 3


class NotFound(JuratError):
    family, http_status, exit_code = "not_found", 404, 4


class Conflict(JuratError):
    family, http_status, exit_code = "conflict", 409, 4


class Exhausted(JuratError):
    family, http_status, exit_code = "exhausted", 429, 5

    def __init__(self, detail: str, *, retry_after_s: float, hint: str = "", code: str = "", **fields: object) -> None:
        super().__init__(detail, hint=hint, code=code, retry_after_s=retry_after_s, **fields)
        self.retry_after_s = retry_after_s


class Unavailable(JuratError):
    family, http_status, exit_code = "unavailable", 503, 5


class Tampered(JuratError):
    """Evidence disagrees with the log. Never caught except to stop and to tell a person."""

    family, http_status, exit_code = "tampered", 500, 6
