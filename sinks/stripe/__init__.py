"""The door to Stripe: one gateway for every call, and the check of what Stripe sends us."""
