"""Request work: the HTTP API."""
