"""`python -m devstack.stripe_simulator CONFIG.json`: runs until SIGTERM, then finishes what it has in hand."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import uvicorn

from devstack.stripe_simulator.app import create_app
from devstack.stripe_simulator.config import SimulatorConfig
from runtime.logging import configure_logging


def main() -> None:
    """Serve."""
    configure_logging("stripe-simulator")
    # Connections that break on purpose are no news.
    logging.getLogger("uvicorn.error").addFilter(lambda record: "completing response" not in record.getMessage())
    config = SimulatorConfig.load(Path(sys.argv[1]))
    uvicorn.run(
        create_app(config),
        host=config.host,
        port=config.port,
        log_level="warning",
        access_log=False,
        log_config=None,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
