"""People who signed in: whom a token is about, and as what they act for the organization that they name."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Final

from api.access.actor import Actor
from api.access.tokens import Person, TokenReader
from api.stores import Stores
from runtime.errors import NotFoundError
from sinks.postgres.access import Access
from sinks.postgres.members import Membership, find_membership
from sinks.postgres.users import see_user

# Who is removed, or gets another role, is what they were for this long at most.
_MEMBERSHIP_S: Final = 3.0
# `seen_at` is no more exact than this.
_SEEN_S: Final = 3600.0
_KNOWN: Final = 10_000
_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class People:
    """Reads tokens and remembers, for a while, what Postgres said: not each request costs a query."""

    def __init__(self, tokens: TokenReader, *, now: Callable[[], float] = time.monotonic) -> None:
        self._tokens = tokens
        self._now = now
        self._seen: dict[Person, float] = {}
        self._memberships: dict[tuple[str, str], tuple[float, Membership]] = {}

    async def find(self, stores: Stores, token: str, organization: str | None) -> tuple[Person, Membership | None]:
        """Return whom a token is about, and their membership if they name an organization.

        Raises: InvalidToken, ExpiredToken; NotFoundError for an organization that they are no member of.
        """
        person = await self._tokens.read(token)
        await self._see(stores, person)
        return person, None if organization is None else await self._membership(stores, person, organization)

    async def _see(self, stores: Stores, person: Person) -> None:
        if self._seen.get(person, -_SEEN_S) + _SEEN_S > self._now():
            return
        async with stores.postgres.acting(Access(user_id=person.user_id)) as connection:
            await see_user(connection, person.user_id, email=person.email)
        if len(self._seen) >= _KNOWN:
            self._seen.clear()
        self._seen[person] = self._now()

    async def _membership(self, stores: Stores, person: Person, slug: str) -> Membership:
        place = (person.user_id, slug)
        known = self._memberships.get(place)
        if known is not None and known[0] > self._now():
            return known[1]
        found = None
        if _SLUG.fullmatch(slug):
            async with stores.postgres.acting(Access(user_id=person.user_id)) as connection:
                found = await find_membership(connection, user_id=person.user_id, slug=slug)
        if found is None:
            self._memberships.pop(place, None)
            raise unknown_organization(slug)
        if len(self._memberships) >= _KNOWN:
            self._memberships.clear()
        self._memberships[place] = (self._now() + _MEMBERSHIP_S, found)
        return found


def require_own(actor: Actor, organization: str | None) -> None:
    """Refuse whoever acts for an organization to name another one. Raises: NotFoundError, as the header does."""
    if actor.organization is not None and organization not in (None, actor.organization):
        raise unknown_organization(str(organization))


def unknown_organization(slug: str) -> NotFoundError:
    """Return the same error for one that does not exist and one that is somebody else's."""
    return NotFoundError(f"No organization {slug[:80]!r}.", code="ORGANIZATION_NOT_FOUND")
