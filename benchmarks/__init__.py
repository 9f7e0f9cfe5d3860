"""Re-runnable measurements, one figure a function."""
