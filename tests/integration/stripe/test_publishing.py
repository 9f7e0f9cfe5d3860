"""Plans published to a Stripe that keeps state: twice, changed, interrupted anywhere, and by two at once."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from billing.plan_document import read_plans
from billing.plans import Plan
from billing.rates import Rate
from cli.plans import app
from runtime.errors import Unavailable
from sinks.stripe.client import StripeGateway
from sinks.stripe.plan_changes import Action
from sinks.stripe.publishing import publish_plans
from tests.stripe_simulator import CheckedSimulator

pytestmark = pytest.mark.integration

EXAMPLE = Path(__file__).parents[3] / "docs" / "plans.example.yaml"
PLANS = read_plans(yaml.safe_load(EXAMPLE.read_text()))


def raised() -> list[Plan]:
    """Return the plans with the first price twice as high."""
    team, *others = PLANS
    base, *prices = team.prices
    doubled = {currency: Rate((rate.unit_amount or Decimal(0)) * 2) for currency, rate in base.rates.items()}
    return [replace(team, prices=(replace(base, rates=doubled), *prices)), *others]


def catalogue(simulator: CheckedSimulator) -> dict[str, list[Any]]:
    """Return all that Stripe holds, without ids and times."""
    left_out = {"id", "created", "updated"}
    names = {meter["id"]: meter["event_name"] for meter in simulator.objects("billing.meter")}
    text = json.dumps({kind: simulator.objects(kind) for kind in ("product", "billing.meter", "price")})
    for identifier, name in names.items():
        text = text.replace(identifier, name)
    return {
        kind: sorted(
            ({name: value for name, value in each.items() if name not in left_out} for each in objects),
            key=lambda each: str(each.get("lookup_key") or each.get("event_name") or each["name"]),
        )
        for kind, objects in json.loads(text).items()
    }


async def test_published_twice_is_published_once(simulator: CheckedSimulator) -> None:
    async with StripeGateway(simulator.settings) as gateway:
        first = await publish_plans(gateway, PLANS)
        assert len(first.products) == 2
        assert len(first.prices) == sum(len(plan.prices) for plan in PLANS)
        assert first.meters.keys() == {"api_calls", "storage_gb", "exports", "active_users"}
        written = len(simulator.writes())
        again = await publish_plans(gateway, PLANS)
    assert again.changes == []
    assert (again.products, again.prices, again.meters) == (first.products, first.prices, first.meters)
    assert len(simulator.writes()) == written


async def test_a_changed_price_is_a_new_version_which_subscriptions_do_not_feel(simulator: CheckedSimulator) -> None:
    async with StripeGateway(simulator.settings) as gateway:
        first = await publish_plans(gateway, PLANS)
        second = await publish_plans(gateway, raised())
        assert [(each.action, each.name) for each in second.changes] == [
            (Action.NEW_VERSION, "team:team-base"),
            (Action.ARCHIVE, "team:team-base"),
        ]
        old = await gateway.prices.get(first.prices["team:team-base"])
        new = await gateway.prices.get(second.prices["team:team-base"])
    assert (old["active"], old["unit_amount"], old["lookup_key"]) == (False, 4900, "team:team-base:v1")
    assert (new["active"], new["unit_amount"], new["lookup_key"]) == (True, 9800, "team:team-base:v2")
    assert {name: price for name, price in second.prices.items() if first.prices[name] != price} == {
        "team:team-base": new["id"]
    }


async def test_names_change_in_place_and_back(simulator: CheckedSimulator) -> None:
    async with StripeGateway(simulator.settings) as gateway:
        await publish_plans(gateway, PLANS)
        for name in ("Teams", "Team", "Teams"):
            # Equal changes within a day: an idempotency key of the intent would answer the third from memory.
            report = await publish_plans(gateway, [replace(PLANS[0], name=name), *PLANS[1:]])
            assert (await gateway.products.get(report.products["team"]))["name"] == name


async def test_what_left_the_file_is_archived_only_when_asked(simulator: CheckedSimulator) -> None:
    async with StripeGateway(simulator.settings) as gateway:
        first = await publish_plans(gateway, PLANS)
        written = len(simulator.writes())
        told = await publish_plans(gateway, PLANS[:1])
        assert {each.action for each in told.changes} == {Action.MISSING}
        assert len(simulator.writes()) == written
        await publish_plans(gateway, PLANS[:1], archive_missing=True)
        assert (await gateway.products.get(first.products["team-yearly"]))["active"] is False
        assert (await gateway.prices.get(first.prices["team-yearly:team-yearly-base"]))["active"] is False
        back = await publish_plans(gateway, PLANS)
        assert (await gateway.products.get(back.products["team-yearly"]))["active"] is True
        assert (await publish_plans(gateway, PLANS)).changes == []


class _Interrupted:
    """Lets some writes through, then every one fails, with its effect or without."""

    def __init__(self, calls: Any, *, after: int, with_effect: bool) -> None:
        self._calls = calls
        self._write = calls.write
        self._left = after
        self._with_effect = with_effect

    async def write(self, *arguments: Any, **options: Any) -> Any:
        if self._left == 0:
            if self._with_effect:
                await self._write(*arguments, **options)
            raise Unavailable("Stripe did not answer in time.")
        self._left -= 1
        return await self._write(*arguments, **options)


@pytest.mark.parametrize("with_effect", [False, True], ids=["lost", "unanswered"])
@pytest.mark.parametrize("begun_with", [(), PLANS], ids=["empty", "published"])
async def test_interrupted_anywhere_and_repeated_it_ends_with_exactly_the_plans(
    simulator: CheckedSimulator, monkeypatch: pytest.MonkeyPatch, with_effect: bool, begun_with: tuple[Plan, ...]
) -> None:
    async with StripeGateway(simulator.settings) as gateway:
        calls: Any = gateway.prices._calls
        await publish_plans(gateway, begun_with)
        writes = sum(change.writes for change in (await publish_plans(gateway, raised())).changes)
        assert writes >= 2
        intended = catalogue(simulator)
        for after in range(writes):
            simulator.reset()
            await publish_plans(gateway, begun_with)
            with monkeypatch.context() as patched:
                patched.setattr(calls, "write", _Interrupted(calls, after=after, with_effect=with_effect).write)
                with pytest.raises(Unavailable):
                    await publish_plans(gateway, raised())
            assert with_effect or catalogue(simulator) != intended
            await publish_plans(gateway, raised())
            assert catalogue(simulator) == intended, f"interrupted after {after} writes"


async def test_two_at_once_publish_once(simulator: CheckedSimulator) -> None:
    async with StripeGateway(simulator.settings) as gateway, StripeGateway(simulator.settings) as other:
        await publish_plans(gateway, PLANS)
        intended = catalogue(simulator)
        simulator.reset()
        await asyncio.gather(publish_plans(gateway, PLANS), publish_plans(other, PLANS))
        assert catalogue(simulator) == intended
        first, second = await asyncio.gather(publish_plans(gateway, raised()), publish_plans(other, raised()))
        assert first.prices == second.prices
        assert (await publish_plans(gateway, raised())).changes == []


def test_the_command_shows_asks_and_publishes(simulator: CheckedSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERSTREAM_STRIPE__API_KEY", simulator.api_key)
    monkeypatch.setenv("METERSTREAM_STRIPE__API_BASE", simulator.url)
    monkeypatch.setenv("COLUMNS", "160")
    runner = CliRunner()

    shown = runner.invoke(app, ["publish", str(EXAMPLE), "--dry-run"])
    assert shown.exit_code == 0, shown.output
    assert "team:team-storage" in shown.output
    assert simulator.writes() == []
    refused = runner.invoke(app, ["publish", str(EXAMPLE)], input="n\n")
    assert refused.exit_code == 1
    assert simulator.writes() == []

    done = runner.invoke(app, ["publish", str(EXAMPLE), "--yes", "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["written"] == len(simulator.writes())
    assert report["prices"].keys() == {f"{plan.slug}:{price.slug}" for plan in PLANS for price in plan.prices}
    again = runner.invoke(app, ["publish", str(EXAMPLE)])
    assert again.exit_code == 0
    assert "already" in again.output
    assert simulator.api_key not in shown.output + done.output + again.output


def test_the_command_names_every_error_of_a_file(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(EXAMPLE.read_text().replace("kind: package", "kind: parcel").replace('"12.00"', '"-1"'))
    found = CliRunner().invoke(app, ["validate", str(wrong)])
    assert found.exit_code == 1
    assert "plans[0].prices[1].currencies.usd.amount" in found.stderr
    wrong.write_text("plans: [")
    assert "is no YAML" in CliRunner().invoke(app, ["validate", str(wrong)]).stderr
    assert CliRunner().invoke(app, ["validate", str(tmp_path / "none.yaml")]).exit_code == 1
