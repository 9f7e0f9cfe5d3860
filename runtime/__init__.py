"""What every process stands on: settings, errors, clock, logging, metric names."""
