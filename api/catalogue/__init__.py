"""What is sold, at which price, and with which discount codes."""
