"""The settings of every command: the environment's, filled up from the running embedded stack."""

from __future__ import annotations

from devstack.state import find_stack
from runtime.settings import Settings


def command_settings() -> Settings:
    """Return the settings; what is set in the environment wins over the embedded stack."""
    settings = Settings()
    stack = find_stack(settings.state_dir)
    return settings if stack is None else stack.settings()
