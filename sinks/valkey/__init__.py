"""Valkey: rate limits and caches. Losing it costs speed, not truth."""
