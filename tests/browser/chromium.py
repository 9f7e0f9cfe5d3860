"""The Chromium of this machine: where it is, and how it starts where there is neither display nor network."""

from __future__ import annotations

import os
import shutil
from typing import Final

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_VARIABLE: Final = "METERSTREAM_CHROMIUM"
OPTIONS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # What is not on this machine is not found: a page that loads it shows an error.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


class NoChromium(Exception):
    """There is none, and the tests of pages cannot say anything."""


def chromium() -> str:
    """Return the path of the browser. Raises: NoChromium, which says what to do."""
    told = os.environ.get(_VARIABLE)
    found = next(filter(None, map(shutil.which, [told] if told else _NAMES)), None)
    if found is None:
        looked_for = told or ", ".join(_NAMES)
        raise NoChromium(
            f"No Chromium here (looked for {looked_for}). Install it (Debian: apt-get install chromium), name it in"
            f' {_VARIABLE}, or leave these tests out: -m "not browser".'
        )
    return found
