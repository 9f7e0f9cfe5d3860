"""One database follows one account of Stripe's; no process begins with another."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from runtime.errors import RefusedToStart
from runtime.settings import Settings
from sinks.postgres.access import API_ROLE, WORKER_ROLE
from sinks.stripe_account import require_same_account
from streams.jobs import run_jobs
from tests.stripe_simulator import CheckedSimulator

pytestmark = pytest.mark.integration


@pytest.fixture
def selling(settings: Settings, simulator: CheckedSimulator) -> Settings:
    """The settings of a process that sells."""
    return settings.model_copy(update={"stripe": simulator.settings})


def rows(settings: Settings, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(settings.postgres.url.get_secret_value(), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def follow_another(settings: Settings) -> None:
    rows(settings, "insert into stripe_account (account_id, livemode) values ('acct_1Other', true)")


async def test_the_first_account_is_noted_and_no_other_is_followed(selling: Settings) -> None:
    both = [require_same_account(selling, service="test", role=role) for role in (API_ROLE, WORKER_ROLE)]
    await asyncio.gather(*both)
    assert rows(selling, "select account_id, livemode from stripe_account") == [("acct_simulator", False)]
    await require_same_account(selling, service="test", role=WORKER_ROLE)

    rows(selling, "update stripe_account set livemode = true")
    with pytest.raises(RefusedToStart, match=r"follows the account acct_simulator \(live\)"):
        await require_same_account(selling, service="test", role=API_ROLE)
    assert rows(selling, "select account_id, livemode from stripe_account") == [("acct_simulator", True)]

    rows(selling, "update stripe_account set account_id = 'acct_1Other', livemode = false")
    with pytest.raises(RefusedToStart, match=r"acct_1Other \(test\).* opens acct_simulator \(test\)"):
        await require_same_account(selling, service="test", role=API_ROLE)


async def test_a_worker_begins_with_no_other_account(selling: Settings) -> None:
    follow_another(selling)
    with pytest.raises(RefusedToStart, match="acct_1Other"):
        await run_jobs(selling, asyncio.Event())


@pytest.mark.parametrize("changes", [{"api_base": "http://127.0.0.1:9"}, {"api_key": SecretStr("sk_test_wrong")}])
async def test_what_stripe_does_not_say_stops_nobody(selling: Settings, changes: dict[str, Any]) -> None:
    stripe = selling.stripe.model_copy(update=changes)
    await require_same_account(selling.model_copy(update={"stripe": stripe}), service="test", role=API_ROLE)
    assert rows(selling, "select 1 from stripe_account") == []


async def test_the_simulators_database_is_not_taken_to_stripe_itself(selling: Settings) -> None:
    await require_same_account(selling, service="test", role=API_ROLE)
    stripe = selling.stripe.model_copy(update={"api_base": None})
    with pytest.raises(RefusedToStart, match=r"acct_simulator.*up --fresh"):
        await require_same_account(selling.model_copy(update={"stripe": stripe}), service="test", role=API_ROLE)


def test_the_api_begins_with_no_other_account_and_warns_without_a_webhook_secret(
    selling: Settings, tmp_path: Path
) -> None:
    follow_another(selling)
    key = selling.stripe.api_key
    assert key is not None
    environment = {
        **os.environ,
        "METERSTREAM_STATE_DIR": str(tmp_path),
        "METERSTREAM_POSTGRES__URL": selling.postgres.url.get_secret_value(),
        "METERSTREAM_STRIPE__API_BASE": str(selling.stripe.api_base),
        "METERSTREAM_STRIPE__API_KEY": key.get_secret_value(),
    }
    refused = subprocess.run(
        [sys.executable, "-m", "cli.main", "api"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 3, refused.stderr
    assert "acct_1Other (live)" in refused.stderr.splitlines()[-1]
    assert "METERSTREAM_STRIPE__WEBHOOK_SECRETS" in refused.stderr
    assert key.get_secret_value() not in refused.stderr
