"""Who sells: organizations, members, keys, and what they did."""
