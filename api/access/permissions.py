"""Who may do what: the one table, from which routes, documentation and tests read.

An organization's key may what its scope says; `admin` includes every scope. A member may what the role says. An end
user, who signed in and names no organization, may what is said for users, and only with what is their own: row-level
security decides which rows that is. Operators see what belongs to no tenant, and nothing that only a tenant may touch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["key", "member", "user", "operator"]
Role = Literal["owner", "admin", "analyst", "support"]
Scope = Literal["ingest", "read", "admin", "operator"]
Permission = Literal[
    "usage:write",
    "usage:read",
    "meters:write",
    "dead_letters:read",
    "dead_letters:write",
    "plans:read",
    "plans:write",
    "customers:read",
    "customers:write",
    "payment_methods:read",
    "payment_methods:write",
    "subscriptions:read",
    "subscriptions:write",
    "invoices:read",
    "invoices:write",
    "discount_codes:read",
    "discount_codes:write",
    "checkout:write",
    "portal:write",
    "events:read",
    "organization:read",
    "organization:write",
    "members:read",
    "members:write",
    "membership:write",
    "keys:read",
    "keys:write",
    "audit:read",
    "account:read",
    "account:write",
    "operators:read",
    "operators:write",
]


@dataclass(frozen=True, slots=True)
class Rule:
    """Who has one permission."""

    scope: Scope | None
    """Of an organization's key; None: no such key has it."""
    roles: frozenset[Role]
    users: bool = False
    operators: bool = False

    def allows(self, kind: Kind, *, scopes: frozenset[str] = frozenset(), role: str | None = None) -> bool:
        """Say whether somebody of this kind, with these scopes or this role, has the permission."""
        if kind == "operator":
            return self.operators
        if kind == "user":
            return self.users
        if kind == "member":
            return role in self.roles
        return self.scope is not None and (self.scope in scopes or "admin" in scopes)


_ALL: Final[frozenset[Role]] = frozenset({"owner", "admin", "analyst", "support"})
_MANAGERS: Final[frozenset[Role]] = frozenset({"owner", "admin"})
_SERVICE: Final[frozenset[Role]] = frozenset({"owner", "admin", "support"})
_NONE: Final[frozenset[Role]] = frozenset()

RULES: Final[dict[Permission, Rule]] = {
    # Usage and what counts it.
    "usage:write": Rule("ingest", _MANAGERS),
    "usage:read": Rule("read", _ALL),
    "meters:write": Rule("admin", _MANAGERS),
    "dead_letters:read": Rule("read", _ALL, operators=True),
    "dead_letters:write": Rule("admin", _MANAGERS, operators=True),
    # What is sold, and to whom. Support helps customers; analysts look.
    "plans:read": Rule("read", _ALL, users=True),
    "plans:write": Rule("admin", _MANAGERS),
    "customers:read": Rule("read", _ALL, users=True),
    "customers:write": Rule("admin", _SERVICE, users=True),
    "payment_methods:read": Rule("read", _SERVICE, users=True),
    "payment_methods:write": Rule("admin", _SERVICE, users=True),
    "subscriptions:read": Rule("read", _ALL, users=True),
    "subscriptions:write": Rule("admin", _SERVICE, users=True),
    "invoices:read": Rule("read", _ALL, users=True),
    "invoices:write": Rule("admin", _SERVICE, users=True),
    "discount_codes:read": Rule("read", _ALL),
    "discount_codes:write": Rule("admin", _MANAGERS),
    "checkout:write": Rule("admin", _SERVICE, users=True),
    "portal:write": Rule("admin", _SERVICE, users=True),
    "events:read": Rule("read", _ALL, users=True),
    # The organization itself.
    "organization:read": Rule("read", _ALL),
    "organization:write": Rule("admin", _MANAGERS),
    "members:read": Rule("admin", _ALL),
    "members:write": Rule("admin", _MANAGERS),
    # To leave; to take out others needs the one above, too.
    "membership:write": Rule("admin", _ALL),
    "keys:read": Rule("admin", _MANAGERS),
    "keys:write": Rule("admin", _MANAGERS),
    "audit:read": Rule("admin", _MANAGERS),
    # What a person does for themselves: found an organization, accept an invitation, list their organizations.
    "account:read": Rule(None, _ALL, users=True),
    "account:write": Rule(None, _ALL, users=True),
    # What belongs to no tenant: the ledger, Stripe's events.
    "operators:read": Rule(None, _NONE, operators=True),
    "operators:write": Rule(None, _NONE, operators=True),
}
"""Every permission."""
