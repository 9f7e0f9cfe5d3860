"""Health, metrics, ledger and dead letters."""
