"""What goes wrong on purpose, by probability and seed, and how many calls a second are let in."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

FaultKind = Literal["latency", "rate_limit", "error_before", "error_after", "drop_before", "drop_after", "hang_after"]


class Rule(BaseModel):
    """One thing that happens to calls; `probability` of those that match, `times` times at most."""

    model_config = ConfigDict(extra="forbid")

    kind: FaultKind
    probability: float = Field(1.0, ge=0, le=1)
    method: str | None = None
    path: str | None = None
    """The beginning of the paths that are hit."""
    seconds: float = Field(1.0, ge=0)
    """How long `latency` and `hang_after` last."""
    status: int = Field(500, ge=500, le=599)
    retry_after_s: int | None = 1
    times: int | None = None


class WebhookFaults(BaseModel):
    """What happens to deliveries, each by its probability."""

    model_config = ConfigDict(extra="forbid")

    duplicate: float = Field(0.0, ge=0, le=1)
    """Sent twice; and a third time by the same probability again."""
    delay: float = Field(0.0, ge=0, le=1)
    delay_s: float = Field(2.0, ge=0)
    lose: float = Field(0.0, ge=0, le=1)
    """Never sent, and listed by `delivery_success=false`."""
    shuffle: bool = False
    """In any order, each up to `shuffle_s` late."""
    shuffle_s: float = Field(0.5, ge=0)


class FaultPlan(BaseModel):
    """All that is to go wrong."""

    model_config = ConfigDict(extra="forbid")

    seed: int = 0
    rules: list[Rule] = []
    webhooks: WebhookFaults = WebhookFaults()
    calls_per_second: int | None = None
    """A real limit: what comes beyond it is answered by 429."""


@dataclass
class Faults:
    """The plan and its dice."""

    plan: FaultPlan = field(default_factory=FaultPlan)
    clock: Callable[[], float] = time.monotonic
    _dice: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311 - repeatable on purpose
    _recent: deque[float] = field(default_factory=deque)

    def set(self, plan: FaultPlan) -> None:
        """Follow another plan, from its seed."""
        self.plan = plan
        self._dice = random.Random(plan.seed)  # noqa: S311 - repeatable on purpose

    def draw(self, method: str, path: str) -> dict[FaultKind, Rule]:
        """Return what happens to this call."""
        drawn: dict[FaultKind, Rule] = {}
        for rule in self.plan.rules:
            hit = self._dice.random() < rule.probability
            if rule.method not in (None, method) or not path.startswith(rule.path or "") or rule.times == 0:
                continue
            if hit and rule.kind not in drawn:
                drawn[rule.kind] = rule
                if rule.times is not None:
                    rule.times -= 1
        return drawn

    def is_over_limit(self) -> bool:
        """Count this call, and say whether it is one too many in the last second."""
        limit, now = self.plan.calls_per_second, self.clock()
        if limit is None:
            return False
        while self._recent and self._recent[0] <= now - 1:
            self._recent.popleft()
        if len(self._recent) >= limit:
            return True
        self._recent.append(now)
        return False

    def happens(self, probability: float) -> bool:
        """Throw the dice."""
        return self._dice.random() < probability

    def up_to(self, seconds: float) -> float:
        """Return a random time."""
        return self._dice.uniform(0, seconds)

    def shuffle(self, things: list[dict[str, object]]) -> None:
        """Bring things into a random order."""
        self._dice.shuffle(things)
