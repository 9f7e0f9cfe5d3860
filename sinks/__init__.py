"""Access to stores and services: everything written to or read from one, one folder per store."""
