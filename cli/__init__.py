"""What people type: `meterstream …`."""
