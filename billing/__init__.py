"""What it costs: money, prices, plans, rating, subscriptions, proration, discounts and invoices.

Pure: no I/O; time is an argument, always an aware datetime, taken in UTC and cut to whole seconds as Stripe counts.
Amounts are whole minor units (`int`) with a currency; what is not rounded yet is an exact `Decimal` of minor units.
"""
