"""Our own HTTP API as other programs see it: `meterstream emit` and the demo go in through this door."""
