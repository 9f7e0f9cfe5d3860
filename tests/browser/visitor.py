"""A person before a browser: opens pages, types, clicks; every page is looked at as a whole."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, Request

_SCREENSHOTS: Final = "METERSTREAM_SCREENSHOTS"
"""A folder, for people who want to see the pages."""
_ASKING: Final = ("button", "checkbox", "combobox", "link", "radio", "searchbox", "spinbutton", "textbox")
# Chromium notes it for a page that says why a card was refused; that is one of the pages to be seen.
_REFUSED: Final = re.compile(r"the server responded with a status of (400|402|404|410) ")


@dataclass
class Visitor:
    """What they see and, in the end, all that went wrong."""

    name: str
    page: Page
    faults: list[str] = field(default_factory=list)
    seen: int = 0

    def open(self, url: str) -> None:
        """Go to a page and look at it."""
        self.page.goto(url)
        self.look()

    def look(self) -> None:
        """Judge the page that is open."""
        page = self.page
        self.seen += 1
        if folder := os.environ.get(_SCREENSHOTS):
            heading = re.sub(r"\W+", "-", page.locator("h1").first.inner_text())[:40]
            test = os.environ.get("PYTEST_CURRENT_TEST", "").split("::")[-1].split("[")[0]
            page.screenshot(path=Path(folder) / f"{self.name}-{test}-{self.seen}-{heading}.png", full_page=True)
        assert page.locator("h1").count() == 1
        banner = page.get_by_role("note")
        assert banner.is_visible()
        assert "Simulation – no real card is charged, and no real money moves." in banner.inner_text()
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide == 0, f"{page.url} is {wide} px wider than the window"
        assert self._nameless() == [], f"{page.url} asks for something without saying what"

    def press(self, name: str | re.Pattern[str]) -> None:
        """Press a button, and look at what comes, if it is a page of the simulator's."""
        before = urlsplit(self.page.url).netloc
        with self.page.expect_navigation():
            self.page.get_by_role("button", name=name).click()
        if urlsplit(self.page.url).netloc == before:
            self.look()

    def type(self, **values: str) -> None:
        """Fill fields in by their labels, with spaces for underscores."""
        for label, value in values.items():
            self.page.get_by_label(label.replace("_", " ")).fill(value)

    def type_card(self, number: str) -> None:
        """Fill in a card."""
        self.page.get_by_label("Card number").fill(number)
        self.page.get_by_label("Expires").fill("12/34")
        self.page.get_by_label("Security code").fill("123")

    def section(self, name: str) -> Locator:
        """Return a part of the page by its heading."""
        return self.page.get_by_role("region", name=name)

    def reads(self, text: str) -> bool:
        """Tell whether the page shows a text."""
        return self.page.get_by_text(text).first.is_visible()

    def _nameless(self) -> list[str]:
        """Return what can be used on the page and has no name in the browser's own accessibility tree."""
        with_tree = self.page.context.new_cdp_session(self.page)
        nodes: list[dict[str, Any]] = with_tree.send("Accessibility.getFullAXTree")["nodes"]
        with_tree.detach()
        roles = [(node.get("role", {}).get("value"), node) for node in nodes if not node.get("ignored")]
        asked = [(role, node) for role, node in roles if role in _ASKING]
        return [str(role) for role, node in asked if not node.get("name", {}).get("value", "").strip()]


def watch(context: BrowserContext, name: str) -> Visitor:
    """Return a visitor of a fresh window, whose errors and requests are noted."""
    visitor = Visitor(name, context.new_page())

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not _REFUSED.search(message.text):
            visitor.faults.append(f"console: {message.text}")

    def see(request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme != "data" and url.hostname != "127.0.0.1":
            visitor.faults.append(f"left the machine: {request.url}")

    context.on("console", hear)
    context.on("request", see)
    context.on("weberror", lambda error: visitor.faults.append(f"script: {error.error}"))
    context.on("requestfailed", lambda request: visitor.faults.append(f"failed: {request.url} {request.failure}"))
    return visitor
