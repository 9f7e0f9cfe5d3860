"""Bodies as different programs write them: the same event in other words, and events that are none."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from random import Random

from devstack.demo.sendings import EVENT_TYPE, SOURCE

_EAST = timezone(timedelta(hours=5, minutes=30))


@dataclass(frozen=True, slots=True)
class Attributes:
    """An event as JSON texts, so that numbers and strings can be written in any way; `data` too."""

    members: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)

    def but(self, **members: object) -> Attributes:
        """Return the same with other members; None leaves one out."""
        changed = self.members | {name: json.dumps(value) for name, value in members.items()}
        return replace(self, members={name: text for name, text in changed.items() if text != "null"})

    def but_data(self, **texts: str | None) -> Attributes:
        """Return the same with other members of data, given as JSON texts; None leaves one out."""
        changed = self.data | {name: text for name, text in texts.items() if text is not None}
        return replace(self, data={name: text for name, text in changed.items() if texts.get(name, "") is not None})


def describe(
    *, event_id: str, customer: str, model: str, time: datetime, input_tokens: int, output_tokens: int
) -> Attributes:
    """Return the plain form of an event."""
    members = {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": EVENT_TYPE,
        "subject": customer,
        "time": write_time(time),
    }
    return Attributes(
        {name: json.dumps(text) for name, text in members.items()},
        {"input_tokens": str(input_tokens), "output_tokens": str(output_tokens), "model": json.dumps(model)},
    )


def write(event: Attributes) -> bytes:
    """Return the event as JSON."""
    return _object(event.members | {"data": _object(event.data)}).encode()


def rewrite(event: Attributes, chance: Random) -> bytes:
    """Return the same event as another program would write it: another order, spaces, numbers of other form."""
    data = {name: _same_number(text, chance) if text.isdigit() else text for name, text in event.data.items()}
    members = event.members | {"data": _object(_shuffled(data, chance), "\n  ")}
    return _object(_shuffled(members, chance), "\n ").encode()


def write_time(time: datetime, chance: Random | None = None) -> str:
    """Return an instant in one of the forms that RFC 3339 allows."""
    utc = time.isoformat(timespec="microseconds").replace("+00:00", "Z")
    if chance is None:
        return utc
    forms = (
        utc,
        time.astimezone(_EAST).isoformat(timespec="microseconds"),
        utc.replace("T", "t").replace("Z", "z"),
        utc.replace("Z", "999+00:00"),  # nanoseconds, to be cut
    )
    return chance.choice(forms)


def _same_number(digits: str, chance: Random) -> str:
    """Write a whole number as a JSON number in another form."""
    return chance.choice((digits, f"{digits}.0", f"{digits}e0", f"{digits}.00E+0"))


def _shuffled(members: dict[str, str], chance: Random) -> dict[str, str]:
    names = list(members)
    chance.shuffle(names)
    return {name: members[name] for name in names}


def _object(members: dict[str, str], separator: str = "") -> str:
    inside = f",{separator}".join(f"{json.dumps(name)}:{text}" for name, text in members.items())
    return f"{{{separator}{inside}}}"
