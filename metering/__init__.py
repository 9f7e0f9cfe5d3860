"""What was used: events, meters, windows, totals. Pure: no I/O, and time is an argument."""
