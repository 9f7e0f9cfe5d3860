"""How often discount codes were redeemed, as Stripe counts it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.sinks.selling import Shop

pytestmark = pytest.mark.integration


async def test_redemptions_of_a_code_follow_stripe_and_never_fall(shop: Shop) -> None:
    coupon = await shop.stripe.coupons.create("coupon", percent_off=20, duration="forever")
    code = await shop.stripe.promotion_codes.create("code", promotion={"type": "coupon", "coupon": coupon["id"]})
    assert not await shop.mirror.look("promotion_code", code["id"]), "it is no code of ours"
    insert = (
        "insert into discount_codes (organization_id, code, percent_off, duration, stripe_promotion_code_id)"
        " values (%s, 'LOYAL', 20, 'forever', %s)"
    )
    shop.rows(insert, [shop.organization_id, code["id"]])
    counted = "select redemptions from discount_codes where stripe_promotion_code_id = %s"
    for times in (1, 2):
        _, theirs = await shop.customer()
        items: Any = [{"price": shop.prices["monthly"]}]
        discounts: Any = [{"promotion_code": code["id"]}]
        await shop.stripe.subscriptions.create(f"s:{times}", customer=theirs, items=items, discounts=discounts)
        assert await shop.mirror.look("promotion_code", code["id"])
        assert shop.rows(counted, [code["id"]]) == [{"redemptions": times}]
    shop.rows("update discount_codes set redemptions = 7")
    assert await shop.mirror.look("promotion_code", code["id"])
    assert shop.rows(counted, [code["id"]]) == [{"redemptions": 7}]
