"""Logins as whoever deploys makes them: members of one role, and owners of nothing."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo


@contextmanager
def member_of(role: str, url: str) -> Iterator[str]:
    """Give the connection string of a login to this database that is a member of `role` alone; gone afterwards."""
    name, password = f"login_{uuid.uuid4().hex[:12]}", secrets.token_urlsafe(12)
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(
            sql.SQL("create role {} login password {} in role {}").format(
                sql.Identifier(name), sql.Literal(password), sql.Identifier(role)
            )
        )
        try:
            yield make_conninfo(url, user=name, password=password)
        finally:
            owner.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))
