"""What `docs/simulator.md` tells is what the simulator does: its cards, and the bodies of its requests."""

from __future__ import annotations

import re
from pathlib import Path

from devstack.stripe_simulator.cards import CARDS
from devstack.stripe_simulator.control import Advance
from devstack.stripe_simulator.faults import FaultPlan

TEXT = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text()


def test_every_card_is_listed() -> None:
    rows = re.findall(r"^\| `([\d ]+)` \| `(pm_card_\w+)` \| (.+) \|$", TEXT, re.MULTILINE)
    listed = [(number.replace(" ", ""), name, title) for number, name, title in rows]
    assert listed == [(card.number, f"pm_card_{card.name}", card.title) for card in CARDS]


def test_the_bodies_are_taken() -> None:
    advance, faults = re.findall(r"-d '(.*?)'", TEXT, re.DOTALL)
    assert Advance.model_validate_json(advance).seconds == 32 * 86_400
    assert FaultPlan.model_validate_json(faults).webhooks.shuffle
