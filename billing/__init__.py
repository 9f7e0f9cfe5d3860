"""What it costs. Pure: no I/O, and time is an argument. Empty until prices arrive."""
