"""How long events wait while Stripe does not answer."""

from __future__ import annotations

from streams.stripe_outage import StripeOutage


def test_pauses_grow_to_ten_minutes() -> None:
    outage = StripeOutage(first_pause_s=2, clock=lambda: -1.0)  # no time for a probe
    assert [outage.pause_s(n) for n in range(10)] == [2, 4, 8, 16, 32, 64, 128, 256, 512, 600]
    assert outage.pause_s(10_000) == 600


def test_one_event_every_half_minute_finds_out_whether_stripe_answers_again() -> None:
    now_s = 100.0
    outage = StripeOutage(first_pause_s=2, clock=lambda: now_s)
    assert [outage.pause_s(9) for _ in range(4)] == [30, 600, 600, 600]
    now_s += 29
    assert outage.pause_s(9) == 600
    now_s += 1
    assert [outage.pause_s(9) for _ in range(2)] == [30, 600]
    # Young ones come soon by themselves.
    now_s += 60
    assert outage.pause_s(1) == 4
    assert outage.pause_s(9) == 30
