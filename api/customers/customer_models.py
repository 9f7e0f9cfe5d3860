"""Customers in requests and answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.http.request_body import SentBody
from sinks.postgres.customers import CustomerRow

_EMAIL = r"^[^@\s]{1,64}@[^@\s]{1,250}$"
Text = Annotated[str, Field(max_length=256)]
Subject = Annotated[str, Field(min_length=1, max_length=256)]


class AddressBody(SentBody):
    """Where invoices are sent to, and what taxes depend on."""

    line1: Text | None = Field(default=None, examples=["510 Townsend St"])
    line2: Text | None = None
    city: Text | None = Field(default=None, examples=["San Francisco"])
    state: Text | None = Field(default=None, examples=["CA"])
    postal_code: Text | None = Field(default=None, examples=["94103"])
    country: str | None = Field(default=None, pattern="^[A-Z]{2}$", description="Two letters.", examples=["US"])


class TaxIdBody(SentBody):
    """A number under which a tax authority knows the customer; invoices show it."""

    type: str = Field(
        pattern="^[a-z]{2}_[a-z_]{1,20}$",
        description="As Stripe names the country and the number: https://docs.stripe.com/billing/customer/tax-ids.",
        examples=["eu_vat"],
    )
    value: str = Field(min_length=1, max_length=64, examples=["DE123456789"])


class ShownTaxId(BaseModel):
    """A tax id, and what the authority says of it."""

    type: str = Field(examples=["eu_vat"])
    value: str = Field(examples=["DE123456789"])
    verification: Literal["pending", "unavailable", "unverified", "verified"] | None = Field(
        description="Stripe asks some countries' authorities; of the others it is `unavailable`."
    )


class ChangeCustomer(SentBody):
    """What changes; what is left out stays, and null takes it away."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"email": "billing@example.com"}})

    name: Text | None = Field(default=None, examples=["Jenny Rosen"])
    email: str | None = Field(default=None, max_length=320, pattern=_EMAIL, examples=["jenny@example.com"])
    address: AddressBody | None = None
    tax_ids: list[TaxIdBody] = Field(
        default_factory=list, max_length=5, description="All of them: one that is left out is taken away."
    )
    user_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="Subject of the tokens of whom it belongs to. An organization's to say.",
    )
    subjects: list[Subject] = Field(
        default_factory=list,
        max_length=100,
        description="Under which usage of theirs arrives. An organization's to say.",
        examples=[["customer-1"]],
    )
    metadata: dict[Annotated[str, Field(max_length=40)], Annotated[str, Field(max_length=500)]] = Field(
        default_factory=dict, max_length=50, description="Yours. An organization's to say."
    )


class CreateCustomer(ChangeCustomer):
    """A new customer."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"name": "Jenny Rosen", "email": "jenny@example.com", "subjects": ["customer-1"]}
        },
    )

    organization: str | None = Field(
        default=None,
        pattern="^[a-z0-9][a-z0-9_-]{0,62}$",
        description="For end users: whose customer they become.",
    )


class CustomerBody(BaseModel):
    """A customer."""

    id: str = Field(examples=["0b6ff1c5-e0e8-494f-b3ac-4bd8a0ff0f4e"])
    user_id: str | None
    stripe_customer_id: str | None = Field(examples=["cus_NffrFeUfNV2Hib"])
    name: str | None = Field(examples=["Jenny Rosen"])
    email: str | None = Field(examples=["jenny@example.com"])
    address: dict[str, str | None] | None
    tax_ids: list[ShownTaxId]
    currency: str | None = Field(description="Stripe fixes it with the first subscription.", examples=["usd"])
    subjects: list[str] = Field(examples=[["customer-1"]])
    metadata: dict[str, str]
    balance_minor: int = Field(description="Negative is credit, positive is owed; in `currency`.")
    delinquent: bool = Field(description="The last invoice was not paid in time.")
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


def customer_as_json(row: CustomerRow) -> dict[str, Any]:
    """Return a customer as clients see it."""
    return {name: getattr(row, name) for name in CustomerBody.model_fields}
