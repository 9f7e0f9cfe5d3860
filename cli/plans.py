"""`meterstream plans`: plans as code, checked and published to Stripe's catalogue. The API's plans are its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
import yaml
from rich.console import Console
from rich.table import Table

from billing.plan_document import read_plans
from billing.plans import Plan
from cli.failures import shown_failures
from cli.settings import command_settings
from runtime.errors import InvalidInput
from runtime.logging import configure_logging
from runtime.settings import StripeSettings
from sinks.stripe.client import StripeGateway
from sinks.stripe.plan_changes import Change
from sinks.stripe.publishing import compare_plans, publish_plans

app = typer.Typer(
    help="Plans as code: checked, published to Stripe's catalogue. The API sells those of POST /plans.",
    no_args_is_help=True,
)

T = TypeVar("T")
File = Annotated[Path, typer.Argument(help="YAML or JSON, as docs/plans.example.yaml shows.")]
AsJson = Annotated[bool, typer.Option("--json", help="End with one JSON object on standard output.")]


@app.command()
def validate(file: File, as_json: AsJson = False) -> None:
    """Check a file of plans and name every error in it; nothing is sent anywhere."""
    with shown_failures():
        plans = read_file(file)
    prices = sum(len(plan.prices) for plan in plans)
    if as_json:
        print(json.dumps({"plans": [plan.slug for plan in plans], "prices": prices}))
    else:
        print(f"{file}: {len(plans)} plans with {prices} prices; Stripe can express all of them.")


@app.command()
def publish(
    file: File,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change and leave it.")] = False,
    archive_missing: Annotated[
        bool, typer.Option("--archive-missing", help="Sell no more what is not in the file; subscriptions keep it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make Stripe's catalogue hold exactly the plans of a file. May be repeated: what is there already is left alone.

    A price with other terms becomes a new version; subscriptions keep the old one. Stripe only: what the API lists and
    sells (GET /plans, POST /checkout) are the plans of organizations, made by POST /api/v1/plans.
    """
    # An outage of Stripe's is told once, at the end.
    configure_logging("cli", level="ERROR", style="console")
    console = Console(stderr=as_json, highlight=False)
    with shown_failures():
        plans, settings = read_file(file), command_settings().stripe
        changes = _at_stripe(settings, lambda stripe: compare_plans(stripe, plans, archive_missing=archive_missing))
        _print_changes(console, changes, _where(settings))
        writes = sum(change.writes for change in changes)
        if dry_run or not writes:
            if as_json:
                print(json.dumps({"changes": [_as_json(change) for change in changes], "written": 0}))
            return
        if not yes:
            typer.confirm(f"Publish {writes} changes?", abort=True, err=True)
        report = _at_stripe(settings, lambda stripe: publish_plans(stripe, plans, archive_missing=archive_missing))
    if as_json:
        found = {"products": report.products, "prices": report.prices, "meters": report.meters}
        written = sum(change.writes for change in report.changes)
        print(json.dumps({"changes": [_as_json(change) for change in report.changes], "written": written, **found}))
    else:
        console.print(f"Published {len(plans)} plans at {_where(settings)}.")


def read_file(file: Path) -> tuple[Plan, ...]:
    """Return the plans of a file. Raises: InvalidInput, SchemaValidation."""
    try:
        document: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"{file} cannot be read: {exc}", field="file") from exc
    except yaml.YAMLError as exc:
        raise InvalidInput(f"{file} is no YAML: {exc}", field="file") from exc
    return read_plans(document)


def _at_stripe(settings: StripeSettings, work: Callable[[StripeGateway], Awaitable[T]]) -> T:
    async def run() -> T:
        async with StripeGateway(settings) as gateway:
            return await work(gateway)

    return asyncio.run(run())


def _where(settings: StripeSettings) -> str:
    if settings.api_base:
        return settings.api_base
    key = settings.api_key.get_secret_value() if settings.api_key else ""
    return "Stripe, live" if key.startswith(("sk_live_", "rk_live_")) else "Stripe, sandbox"


def _print_changes(console: Console, changes: Sequence[Change], where: str) -> None:
    if not changes:
        console.print(f"{where} sells exactly this already.")
        return
    table = Table("", "what", "name", "change", title=f"At {where}", box=None, title_justify="left")
    for change in changes:
        table.add_row(change.action, change.thing, change.name, change.detail.replace("; ", "\n"))
    console.print(table)


def _as_json(change: Change) -> dict[str, str]:
    return {"action": change.action, "thing": change.thing, "name": change.name, "detail": change.detail}
