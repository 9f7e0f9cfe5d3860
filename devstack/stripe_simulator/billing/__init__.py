"""The billing half of the simulator: subscriptions, invoices, meters, and the time that moves them.

Where Stripe's documentation leaves something open, the module's docstring says what was chosen. Not simulated: taxes,
`send_invoice`, pending updates, billing thresholds, backdating, credit notes, discounts of single items.
"""

from devstack.stripe_simulator.billing import (
    cancellations,
    charges,
    invoice_calls,
    invoice_items,
    meter_events,
    meter_usage,
    meters,
    schedule_calls,
    subscriptions,
    test_clocks,
    updates,
)

ROUTES = [
    *subscriptions.ROUTES,
    *updates.ROUTES,
    *cancellations.ROUTES,
    *schedule_calls.ROUTES,
    *invoice_calls.ROUTES,
    *invoice_items.ROUTES,
    *charges.ROUTES,
    *meters.ROUTES,
    *meter_events.ROUTES,
    *meter_usage.ROUTES,
    *test_clocks.ROUTES,
]
