"""Who buys, what they pay with, and the stream of their changes."""
