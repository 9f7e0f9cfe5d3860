"""What the server is told by whoever starts it: a JSON file, mode 0600, because it holds passwords."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class Reader(BaseModel):
    """The read-only user of dashboards, and its limits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "dashboards"
    password: str
    organization: UUID | None = None
    """Id of the only organization whose rows this user sees; None sees all (a single-tenant stack)."""
    max_result_rows: int = 100_000
    max_execution_time_s: int = 20
    max_memory_bytes: int = 2_000_000_000


class ServerConfig(BaseModel):
    """Where to listen, where the data is, and who may come in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int
    data_dir: Path
    database: str = "meterstream"
    owner: str = "default"
    owner_password: str
    reader: Reader
    connections: int = 6
    reader_connections: int = 3

    def save(self, path: Path) -> None:
        """Write the file so that nobody else can read it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(self.model_dump_json(indent=2))

    @classmethod
    def load(cls, path: Path) -> ServerConfig:
        """Read what `save` wrote."""
        return cls.model_validate(json.loads(path.read_text()))
