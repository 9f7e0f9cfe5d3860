"""The pages' frame: templates filled, forms read; no script, so that they work everywhere."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from devstack.stripe_simulator.currencies import shown
from devstack.stripe_simulator.failures import StripeFailure
from devstack.stripe_simulator.forms import decode

_MOST_BYTES = 20_000
_LONGEST = 500
# Nothing is loaded, nothing runs, and no other site can frame the page.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}


def _date(seconds: int) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment.day} {moment:%B %Y}"


_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "web"), autoescape=True, undefined=StrictUndefined
)
_templates.filters["date"] = _date
_templates.globals["money"] = shown


def page(template: str, *, status: int = 200, **context: object) -> Response:
    """Return a page."""
    return HTMLResponse(_templates.get_template(template).render(**context), status, _HEADERS)


def notice(title: str, text: str, *, status: int = 200, link: str | None = None, label: str = "") -> Response:
    """Return a page that says one thing."""
    return page("notice.html", status=status, title=title, text=text, link=link, label=label)


async def form(request: Request) -> dict[str, str]:
    """Return a posted form's fields. Raises: StripeFailure for what no form of ours sends."""
    body = await request.body()
    if len(body) > _MOST_BYTES:
        raise StripeFailure("The form is too large.", status=413)
    fields = decode(body.decode(errors="replace"))
    return {name: value.strip()[:_LONGEST] for name, value in fields.items() if isinstance(value, str)}
