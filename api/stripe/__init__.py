"""What every route that talks to Stripe shares, and the door through which Stripe talks to us."""
