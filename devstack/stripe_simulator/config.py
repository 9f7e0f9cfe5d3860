"""What the simulator is told by whoever starts it: a JSON file, mode 0600, because it holds keys."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class SimulatorConfig(BaseModel):
    """Where to listen, where the state is, who may come in, and how fast time goes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int
    public_url: str | None = None
    """Where browsers find the pages; by default host and port."""
    state_path: Path | None = None
    """A sqlite file; None keeps everything in memory, which is for tests."""
    api_key: str
    """A secret key (`sk_test_…`); every call needs it."""
    tick_s: float = 1.0
    """How often what is due on the wall clock is done."""
    webhook_retry_delays_s: tuple[float, ...] = (5, 30, 120, 600, 3_600, 10_800, 21_600, 43_200, 86_400, 86_400)
    """Real seconds between the tries of one delivery; Stripe goes on for up to 3 days."""
    webhook_timeout_s: float = 10

    webhook_url: str | None = None
    """Where every event is sent from the start, snapshots and thin ones; further receivers are made by calls."""
    webhook_secret: str = ""
    """What these are signed with (`whsec_…`)."""

    @property
    def base_url(self) -> str:
        """Return the address that hosted pages are linked by."""
        return self.public_url or f"http://{self.host}:{self.port}"

    def save(self, path: Path) -> None:
        """Write the file so that nobody else can read it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(self.model_dump_json(indent=2))

    @classmethod
    def load(cls, path: Path) -> SimulatorConfig:
        """Read what `save` wrote."""
        return cls.model_validate(json.loads(path.read_text()))
