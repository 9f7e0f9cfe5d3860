"""The doors: everything written to or read from a store, one folder a store."""
