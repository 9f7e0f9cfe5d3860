"""From checkout to invoice."""
