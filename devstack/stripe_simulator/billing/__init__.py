"""The billing half of the simulator: subscriptions, invoices, meters, and the time that moves them."""
