"""Where things lie in a workspace. Names only: nothing here opens, creates or trusts a file.

<root>/
  jurat.toml                 settings (core.settings)
  witness-policy.txt         optional: which witnesses to ask, and how many must cosign (C2SP tlog-policy)
  gates.yaml  retention.yaml  access.yaml  policies/   the rules, as readable files; in force is what was *applied*, not what lies here
  keys/                      0700: signing.key and log-keys.json (public); never in a backup that others read
  ledger/                    the logs, journal, Parquet (ledger.layout); not trusted
  lock/lock.sqlite           last signed checkpoint of each log; put it on another volume by `lock_path`
  postgres/                  the embedded cluster, or a pointer to where it had to go
  artefacts/                 content-addressed: <2 hex>/<64 hex>
  credentials/               0600 token files of the people who use this machine
  run/                       sockets, ports, pids of the running process tree
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FORMAT_VERSION = 1  # of the workspace as a whole; a newer one is refused


@dataclass(frozen=True, slots=True)
class Workspace:
    """The paths of one workspace."""

    root: Path

    @property
    def settings_file(self) -> Path:
        return self.root / "jurat.toml"

    @property
    def gates_file(self) -> Path:
        return self.root / "gates.yaml"

    @property
    def retention_file(self) -> Path:
        return self.root / "retention.yaml"

    @property
    def access_file(self) -> Path:
        return self.root / "access.yaml"

    @property
    def witness_policy(self) -> Path:
        return self.root / "witness-policy.txt"

    @property
    def policies(self) -> Path:
        return self.root / "policies"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger"

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def artefacts(self) -> Path:
        return self.root / "artefacts"

    @property
    def advisories(self) -> Path:
        return self.root / "advisories"

    @property
    def credentials(self) -> Path:
        return self.root / "credentials"

    @property
    def run(self) -> Path:
        return self.root / "run"
