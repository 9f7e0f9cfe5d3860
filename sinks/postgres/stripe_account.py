"""Which account of Stripe's this database follows: the first that it met."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from psycopg import AsyncConnection

from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load
from sinks.postgres.rows import fetch_one

_SQL = load("stripe_account")
SIMULATOR: Final = "acct_simulator"
"""What the simulator calls its account."""


@dataclass(frozen=True, slots=True)
class StripeAccount:
    """An account; live and test objects of one are as different as those of two."""

    account_id: str
    livemode: bool

    def __str__(self) -> str:
        return f"{self.account_id} ({'live' if self.livemode else 'test'})"


async def read_account(connection: AsyncConnection) -> StripeAccount | None:
    """Return the account that this database follows, if it met one."""
    return await fetch_one(connection, StripeAccount, _SQL["read"])


async def note_account(connection: AsyncConnection, account: StripeAccount) -> StripeAccount:
    """Follow `account` if none is followed yet; return the one that is."""
    with translated_errors():
        await connection.execute(_SQL["note"], asdict(account))
    return await read_account(connection) or account
