"""The embedded stack: real engines as child processes, and the sample trace. Production code never imports it."""
