"""Invoices: drawn up as drafts, added up, finalized; voided or given up. docs.stripe.com/api/invoices/object

docs.stripe.com/billing/invoices/subscription and docs.stripe.com/invoicing/integration/workflow-transitions.
Payment is in `collection`, what payment does to a subscription in `standing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from devstack.stripe_simulator import tax_ids
from devstack.stripe_simulator.billing import discounts, lines
from devstack.stripe_simulator.failures import Obj, StripeFailure
from devstack.stripe_simulator.world import World

INVOICE = "invoice"
_EMBEDDED_LINES = 10
# What is less is owed until later; as Stripe documents it in docs.stripe.com/currencies.
_LEAST_CHARGE = {"usd": 50, "eur": 50, "gbp": 30, "cad": 50, "aud": 50, "chf": 50, "jpy": 50, "sek": 300, "nok": 300}
_NOTHING: Obj = {
    "account_country": None,
    "account_tax_ids": None,
    "application": None,
    "automatically_finalizes_at": None,
    "custom_fields": None,
    "customer_account": None,
    "default_payment_method": None,
    "default_source": None,
    "description": None,
    "due_date": None,
    "effective_at": None,
    "ending_balance": None,
    "footer": None,
    "from_invoice": None,
    "hosted_invoice_url": None,
    "invoice_pdf": None,
    "last_finalization_error": None,
    "latest_revision": None,
    "next_payment_attempt": None,
    "number": None,
    "on_behalf_of": None,
    "parent": None,
    "receipt_number": None,
    "rendering": None,
    "shipping_cost": None,
    "shipping_details": None,
    "statement_descriptor": None,
    "webhooks_delivered_at": None,
    "_confirmation_secret": None,
    "amount_overpaid": 0,
    "amount_paid": 0,
    "amount_paid_off_stripe": 0,
    "amount_shipping": 0,
    "attempt_count": 0,
    "post_payment_credit_notes_amount": 0,
    "pre_payment_credit_notes_amount": 0,
}


def draft(
    world: World,
    customer: Obj,
    invoice_lines: Iterable[Obj],
    *,
    currency: str,
    reason: str,
    at: int,
    period: tuple[int, int],
    subscription: Obj | None = None,
    **fields: object,
) -> Obj:
    """Draw up an invoice; it is announced, and nothing of it is due yet."""
    identifier = world.new_id("in")
    owner = subscription or {"collection_method": "charge_automatically", "discounts": []}
    invoice: Obj = {
        "id": identifier,
        "object": INVOICE,
        **_NOTHING,
        "account_name": "Simulation",
        "attempted": False,
        "auto_advance": False,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "billing_reason": reason,
        "collection_method": owner["collection_method"],
        "created": at,
        "currency": currency,
        "customer": customer["id"],
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_shipping": customer["shipping"],
        "customer_tax_exempt": customer["tax_exempt"],
        "customer_tax_ids": tax_ids.of(world, customer["id"]),
        "default_tax_rates": [],
        "discounts": discounts.active(world, owner["discounts"], at),
        "issuer": {"type": "self"},
        "livemode": False,
        "metadata": {},
        "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        "period_end": period[1],
        "period_start": period[0],
        "status": "draft",
        "status_transitions": dict.fromkeys(("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")),
        "test_clock": customer["test_clock"],
        **fields,
    }
    if subscription is not None:
        details = {"metadata": subscription["metadata"], "subscription": subscription["id"]}
        invoice["parent"] = {"quote_details": None, "subscription_details": details, "type": "subscription_details"}
    owned = [line | {"invoice": identifier} for line in invoice_lines]
    return world.insert(invoice | _added_up(world, invoice, owned, int(customer["balance"])), "invoice.created")


def set_lines(world: World, invoice: Obj, invoice_lines: Sequence[Obj], event: str | None = "invoice.updated") -> Obj:
    """Replace the lines of a draft and add it up again."""
    balance = world.get("customer", invoice["customer"])["balance"]
    owned = [line | {"invoice": invoice["id"]} for line in invoice_lines]
    return world.update(invoice, _added_up(world, invoice, owned, balance), event)


def subscription_of(world: World, invoice: Obj) -> Obj | None:
    """Return the subscription that an invoice bills."""
    details = invoice["parent"] and invoice["parent"]["subscription_details"]
    return world.known("subscription", details["subscription"]) if details else None


def finalize(world: World, invoice: Obj) -> Obj:
    """Fix a draft: late usage in, number, balance; it is open now. What is due is for `collection`."""
    if invoice["status"] != "draft":
        raise StripeFailure(
            "This invoice is already finalized, you can't re-finalize a non-draft invoice.",
            code="invoice_not_editable",
        )
    # Usage that was reported while the invoice was a draft counts.
    set_lines(world, invoice, [lines.measured(world, line) for line in invoice["_lines"]], None)
    customer, now = world.get("customer", invoice["customer"]), world.now(invoice)
    number, url = customer["next_invoice_sequence"], f"{world.base_url}/invoices/{invoice['id']}"
    balance = _balance_after(invoice)
    world.update(
        invoice,
        {
            "automatically_finalizes_at": None,
            "effective_at": now,
            "ending_balance": balance,
            "hosted_invoice_url": url,
            "invoice_pdf": f"{url}/pdf",
            "number": f"{customer['invoice_prefix']}-{number:04d}",
            "status": "open",
            "status_transitions": invoice["status_transitions"] | {"finalized_at": now},
        },
    )
    world.update(customer, {"balance": balance, "next_invoice_sequence": number + 1}, "customer.updated")
    if (subscription := subscription_of(world, invoice)) is not None:
        discounts.drop(world, subscription, discounts.used_up(world, invoice))
    world.emit("invoice.finalized", invoice)
    return invoice


def close(world: World, invoice: Obj, status: str) -> Obj:
    """Void an open invoice or mark it uncollectible; voiding gives used balance back."""
    now, stamp = world.now(invoice), {"void": "voided_at", "uncollectible": "marked_uncollectible_at"}[status]
    if status == "void" and invoice["ending_balance"] != invoice["starting_balance"]:
        customer = world.get("customer", invoice["customer"])
        back = invoice["starting_balance"] - invoice["ending_balance"]
        world.update(customer, {"balance": customer["balance"] + back}, "customer.updated")
    changes = {
        "auto_advance": False,
        "next_payment_attempt": None,
        "status": status,
        "status_transitions": invoice["status_transitions"] | {stamp: now},
    }
    return world.update(invoice, changes, {"void": "invoice.voided"}.get(status, "invoice.marked_uncollectible"))


def _added_up(world: World, invoice: Obj, invoice_lines: Sequence[Obj], balance: int) -> Obj:
    """Return the lines with their discounts, and the sums."""
    shares = discounts.shares(world, invoice["currency"], invoice_lines, invoice["discounts"])
    owned = [line | {"discount_amounts": share} for line, share in zip(invoice_lines, shares, strict=True)]
    off = dict.fromkeys(invoice["discounts"], 0)
    for share in shares:
        for entry in share:
            off[entry["discount"]] += entry["amount"]
    subtotal = sum(line["amount"] for line in owned)
    total = subtotal - sum(off.values())
    due = _due(total, balance, invoice["currency"])
    return {
        "amount_due": due,
        "amount_remaining": due,
        "lines": {
            "object": "list",
            "data": owned[:_EMBEDDED_LINES],
            "has_more": len(owned) > _EMBEDDED_LINES,
            "url": f"/v1/invoices/{invoice['id']}/lines",
        },
        "_lines": owned,
        "starting_balance": balance,
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal,
        "total": total,
        "total_discount_amounts": [{"amount": amount, "discount": name} for name, amount in off.items()],
        "total_excluding_tax": total,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
    }


def _due(total: int, balance: int, currency: str) -> int:
    """Return what is to be paid: a credit (negative) balance is used first, a debt added; too little waits."""
    due = max(0, total + balance)
    return due if total >= 0 and due >= _LEAST_CHARGE.get(currency, 1) else 0


def _balance_after(invoice: Obj) -> int:
    """Return the customer's balance once the invoice is final; a negative total becomes credit."""
    balance: int = invoice["starting_balance"] + invoice["total"] - invoice["amount_due"]
    return balance
