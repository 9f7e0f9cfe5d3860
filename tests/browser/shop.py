"""A shop that sells at a simulator: what it offers is made by the API, as our API will make it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass
class Shop:
    """Sells Pro by the month and by the year."""

    api: httpx.Client
    url: str
    """Where people come from, and come back to."""
    prices: dict[str, str] = field(default_factory=dict)
    product: str = ""

    def open(self) -> None:
        """Make the offer."""
        self.product = self.post("/v1/products", name="Pro")["id"]
        for name, amount in (("month", 2_900), ("year", 29_000)):
            form = {"product": self.product, "currency": "usd", "unit_amount": amount, "recurring[interval]": name}
            self.prices[name] = self.post("/v1/prices", **form)["id"]

    def checkout(self, **form: Any) -> dict[str, Any]:
        """Return a new session that subscribes to two seats by the month."""
        return self.post(
            "/v1/checkout/sessions",
            **{
                "mode": "subscription",
                "line_items[0][price]": self.prices["month"],
                "line_items[0][quantity]": 2,
                "success_url": f"{self.url}/done?session={{CHECKOUT_SESSION_ID}}",
                "cancel_url": f"{self.url}/back",
                **form,
            },
        )

    def code(self, code: str, percent_off: int) -> None:
        """Give a promotion code out."""
        coupon = self.post("/v1/coupons", percent_off=percent_off, duration="once")["id"]
        self.post("/v1/promotion_codes", **{"promotion[type]": "coupon", "promotion[coupon]": coupon, "code": code})

    def subscriber(self) -> str:
        """Return a customer who pays by the month."""
        card = {"payment_method": "pm_card_visa", "invoice_settings[default_payment_method]": "pm_card_visa"}
        customer = self.post("/v1/customers", name="Kim Ünal", email="kim@example.com", **card)["id"]
        self.post("/v1/subscriptions", **{"customer": customer, "items[0][price]": self.prices["month"]})
        return str(customer)

    def portal(self, customer: str) -> dict[str, Any]:
        """Return a session of the portal that offers everything."""
        offer = "features[subscription_update]"
        form = {
            f"{offer}[enabled]": "true",
            f"{offer}[default_allowed_updates][]": "price",
            f"{offer}[proration_behavior]": "always_invoice",
            f"{offer}[products][0][product]": self.product,
            f"{offer}[products][0][prices][0]": self.prices["month"],
            f"{offer}[products][0][prices][1]": self.prices["year"],
            "features[subscription_cancel][enabled]": "true",
            "features[subscription_cancel][cancellation_reason][enabled]": "true",
            "features[subscription_cancel][cancellation_reason][options][0]": "too_expensive",
            "features[subscription_cancel][cancellation_reason][options][1]": "unused",
            "features[payment_method_update][enabled]": "true",
            "features[invoice_history][enabled]": "true",
        }
        configuration = self.post("/v1/billing_portal/configurations", **form)["id"]
        return self.post(
            "/v1/billing_portal/sessions",
            customer=customer,
            configuration=configuration,
            return_url=f"{self.url}/account",
        )

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Read."""
        return _body(self.api.get(path, params=query))

    def post(self, path: str, **form: Any) -> dict[str, Any]:
        """Write."""
        return _body(self.api.post(path, data=form))

    def only(self, path: str, **query: Any) -> dict[str, Any]:
        """Return the one object of a list."""
        (found,) = self.get(path, **query)["data"]
        return dict(found)


def _body(answer: httpx.Response) -> dict[str, Any]:
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found
