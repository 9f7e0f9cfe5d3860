"""`python -m devstack.stripe_simulator CONFIG.json`: runs until SIGTERM, then finishes what it has in hand."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn

from devstack.stripe_simulator.app import create_app
from devstack.stripe_simulator.config import SimulatorConfig


def main() -> None:
    """Serve."""
    config = SimulatorConfig.load(Path(sys.argv[1]))
    uvicorn.run(
        create_app(config),
        host=config.host,
        port=config.port,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
