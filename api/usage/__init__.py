"""Events in, meters, and the numbers."""
