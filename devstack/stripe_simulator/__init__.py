"""A Stripe to develop, test and demonstrate against: stateful, in Stripe's wire format, with faults on demand."""
