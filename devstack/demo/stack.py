"""The stack that a demo runs on: the one that is up, or one of its own in a temporary directory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devstack.state import Stack, find_stack
from devstack.up import EmbeddedStack, Migrate, Progress, bring_up, plan
from runtime.errors import MeterstreamError
from runtime.settings import Settings


@dataclass(slots=True)
class DemoStack:
    """Where the demo goes. `keep` is set to leave the data of a stack of its own, to look at."""

    settings: Settings
    api_url: str
    own: bool
    simulated_stripe: bool
    """Whether the stack's Stripe is the simulator; the demo sells nothing at the real one."""
    keep: bool = False


@contextmanager
def demo_stack(settings: Settings, migrate: Migrate, say: Callable[[str], None]) -> Iterator[DemoStack]:
    """Give the running stack, or start one and stop it afterwards. Raises: PartFailed."""
    running = _running(settings)
    if running is not None:
        say(f"Using the stack that runs in {running.state_dir}; it stays up")
        yield _demo_stack(running, own=False)
        return
    # Not below the user's own state: a demo leaves nothing behind.
    state_dir = Path(tempfile.mkdtemp(prefix="meterstream-demo-"))
    say(f"No whole stack runs in {settings.state_dir}: starting one in {state_dir}, stopped and deleted at the end")

    def report(progress: Progress) -> None:
        say(f"  {progress.name} {progress.what}")

    embedded = plan(settings.model_copy(update={"state_dir": state_dir}), usual_ports=False)
    demo = _demo_stack(embedded.stack, own=True)
    try:
        bring_up(embedded, migrate, detached=False, report=report)
        yield demo
    except MeterstreamError:
        demo.keep = True
        raise
    finally:
        embedded.stop()
        if demo.keep:
            say(f"Data and logs stay in {state_dir}; METERSTREAM_STATE_DIR={state_dir} meterstream up starts it again")
        else:
            shutil.rmtree(state_dir, ignore_errors=True)


def _running(settings: Settings) -> Stack | None:
    """Return the stack of the settings' directory if all of it runs."""
    stack = find_stack(settings.state_dir.resolve())
    if stack is None:
        return None
    embedded = EmbeddedStack(stack)
    return stack if len(embedded.running()) == len(embedded.parts) else None


def _demo_stack(stack: Stack, *, own: bool) -> DemoStack:
    settings, api_url = stack.settings(), next(part.url for part in stack.parts if part.name == "api")
    simulated = stack.stripe_api_base is not None and settings.stripe.api_base == stack.stripe_api_base
    return DemoStack(settings, api_url, own, simulated)
