from __future__ import annotations

from typing import get_args

import pytest

from api.access.actor import Actor
from api.access.permissions import RULES, Permission
from runtime.errors import InsufficientPermissions
from sinks.postgres.access import Access


def key(*scopes: str) -> Actor:
    return Actor(kind="key", name="key", organization_id="o", organization="acme", scopes=frozenset(scopes))


def member(role: str) -> Actor:
    return Actor(kind="member", name="m", organization_id="o", organization="acme", user_id="u", role=role)


USER = Actor(kind="user", name="u", user_id="u")
OPERATOR = Actor(kind="operator", name="cli", scopes=frozenset({"operator"}))


def test_every_permission_has_a_rule() -> None:
    assert set(RULES) == set(get_args(Permission))


def test_admin_includes_every_scope_and_nothing_includes_operator() -> None:
    for permission, rule in RULES.items():
        assert key("admin").may(permission) is (rule.scope is not None)
        assert not key().may(permission)
    assert (key("ingest").may("usage:write"), key("ingest").may("usage:read")) == (True, False)
    assert (key("read").may("usage:read"), key("read").may("meters:write")) == (True, False)
    assert not key("admin", "ingest", "read").may("operators:read")


def test_no_role_has_less_than_the_one_below_it() -> None:
    for permission in RULES:
        order = [member(role).may(permission) for role in ("owner", "admin", "support")]
        assert order == sorted(order, reverse=True), permission
        assert not member("stranger").may(permission)
    # Who only looks writes nothing but what is a person's own.
    own = {"account:write", "membership:write"}
    assert {name for name in RULES if member("analyst").may(name) and name.endswith(":write")} == own


def test_operators_have_nothing_that_belongs_to_tenants() -> None:
    may = {name for name in RULES if OPERATOR.may(name)}
    assert may == {"dead_letters:read", "dead_letters:write", "operators:read", "operators:write"}


def test_end_users_touch_nothing_of_the_organization() -> None:
    theirs = {"plans", "customers", "payment_methods", "subscriptions", "invoices", "checkout", "portal", "events"}
    assert {name.partition(":")[0] for name in RULES if USER.may(name)} == theirs | {"account"}
    assert not USER.may("plans:write")


@pytest.mark.parametrize(
    ("actor", "permission", "required"),
    [
        (key("read"), "meters:write", "admin"),
        (key("admin"), "account:write", "account:write"),
        (key("admin"), "operators:read", "operator"),
        (USER, "usage:read", "usage:read"),
        (OPERATOR, "usage:read", "usage:read"),
        (member("support"), "meters:write", "meters:write"),
    ],
)
def test_a_refusal_names_what_it_takes(actor: Actor, permission: Permission, required: str) -> None:
    with pytest.raises(InsufficientPermissions) as refused:
        actor.require(permission)
    assert refused.value.details["required"] == required


def test_a_member_sees_the_organization_and_an_end_user_what_is_their_own() -> None:
    assert member("owner").access == key("read").access == Access(organization_id="o")
    assert USER.access == Access(user_id="u")
    assert OPERATOR.access == Access(operator=True)
    assert member("owner").tenant == ("o", "acme")
    for actor in (USER, OPERATOR):
        with pytest.raises(InsufficientPermissions):
            _ = actor.tenant
