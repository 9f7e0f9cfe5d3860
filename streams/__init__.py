"""Background work: Faust apps, the micro-batch transport, one agent a file."""
