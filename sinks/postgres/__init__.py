"""Postgres: catalogue, totals, block journal, dead letters, keys. The only place that imports psycopg."""
