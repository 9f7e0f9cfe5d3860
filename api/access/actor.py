"""Who asks, as routes, histories and row-level security need to know them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from api.access.permissions import RULES, Kind, Permission
from runtime.errors import InsufficientPermissions
from sinks.postgres.access import Access
from sinks.postgres.audit import Author


class Tenant(NamedTuple):
    """An organization that asks for what is its own."""

    organization_id: str
    organization: str


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever sent this request: an organization's key, a member of one, an end user, or an operator."""

    kind: Kind
    name: str
    """As histories tell it: `key ms_…` or `user <subject>`."""
    organization_id: str | None = None
    organization: str | None = None
    """Its slug."""
    user_id: str | None = None
    email: str | None = None
    role: str | None = None
    scopes: frozenset[str] = frozenset()
    address: str | None = None
    request_id: str = ""

    @property
    def access(self) -> Access:
        """Return whose rows they may see.

        A member acts for the organization alone: what they own elsewhere as a customer is seen without naming it.
        """
        if self.kind == "operator":
            return Access(operator=True)
        if self.organization_id is not None:
            return Access(organization_id=self.organization_id)
        return Access(user_id=self.user_id)

    @property
    def author(self) -> Author:
        """Return how the audit log names them."""
        return Author(self.name, self.address, self.request_id)

    @property
    def tenant(self) -> Tenant:
        """Return the organization they act for. Raises: InsufficientPermissions for end users and operators."""
        if self.organization_id is None or self.organization is None:
            raise _refused(self, "organization:read")
        return Tenant(self.organization_id, self.organization)

    @property
    def person(self) -> str:
        """Return the id of the person who asks. Raises: InsufficientPermissions for keys."""
        if self.user_id is None:
            raise _refused(self, "account:write")
        return self.user_id

    def may(self, permission: Permission) -> bool:
        """Say whether they have a permission."""
        return RULES[permission].allows(self.kind, scopes=self.scopes, role=self.role)

    def require(self, permission: Permission) -> None:
        """Raise InsufficientPermissions where they lack a permission."""
        if not self.may(permission):
            raise _refused(self, permission)


def user_name(user_id: str) -> str:
    """Return how histories name a person."""
    return f"user {user_id}"


def _refused(actor: Actor, permission: Permission) -> InsufficientPermissions:
    rule = RULES[permission]
    if rule.operators and not rule.roles:
        return InsufficientPermissions("Only operators' keys may do this.", required="operator")
    if actor.kind == "key":
        if rule.scope is None:
            return InsufficientPermissions("No key may do this: it takes a person who signed in.", required=permission)
        return InsufficientPermissions(
            f"This key lacks the scope {rule.scope}: use one that has it (POST /api/v1/api-keys makes keys).",
            required=rule.scope,
        )
    message = {
        "operator": "An operator's key has no organization; use one of its own.",
        "user": "Only an organization may do this: name one that you are a member of in the header X-Organization.",
        "member": f"Your role {actor.role} may not do this; it takes {' or '.join(sorted(rule.roles))}: ask one.",
    }[actor.kind]
    return InsufficientPermissions(message, required=permission)
