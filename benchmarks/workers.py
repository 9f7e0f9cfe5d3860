"""Our own processes as an operator starts them: `meterstream worker metering|warehouse` and `meterstream api`."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import psutil

from benchmarks.engines import cpu_seconds
from devstack.ports import LOOPBACK, free_port
from devstack.process import ChildProcess, Command
from runtime.settings import Settings

METERING: Final = ("cli.main", "worker", "metering")
WAREHOUSE: Final = ("cli.main", "worker", "warehouse")
API: Final = ("cli.main", "api")

_ADVICE = "The benchmark's own processes and engines end with it."


class Child:
    """A process of ours, while it runs."""

    def __init__(self, process: ChildProcess, port: int) -> None:
        self.url = f"http://{LOOPBACK}:{port}"
        self._process = process

    @property
    def pid(self) -> int:
        """Return its pid. Raises: PartFailed with the end of its log when it ended."""
        pid = self._process.pid
        if pid is None:
            raise self._process.failure("ended by itself", _ADVICE)
        return pid

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used."""
        return cpu_seconds(self.pid)

    def memory_mb(self) -> tuple[float, float]:
        """Return what is resident (mapped files included), and what is its alone."""
        memory = psutil.Process(self.pid).memory_full_info()
        return memory.rss / 1e6, memory.uss / 1e6

    def log(self) -> str:
        """Return the end of its log."""
        return self._process.last_lines()

    def wait_ready(self) -> None:
        """Return once it answers /readyz with 200."""
        self._process.wait_until(self._is_ready, timeout_s=60.0, advice=_ADVICE)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2.0) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.HTTPError):
            return False


@contextmanager
def running(settings: Settings, name: str, module: Sequence[str]) -> Iterator[Child]:
    """Run `python -m <module …>` on these settings; stopped in good order afterwards."""
    port = free_port()
    process = ChildProcess(name, settings.state_dir / "run", settings.state_dir / "logs")
    process.start(Command([sys.executable, "-m", *module], env=environment(settings, port), stop_timeout_s=60.0))
    try:
        yield Child(process, port)
    finally:
        process.stop()


@contextmanager
def running_api(settings: Settings) -> Iterator[Child]:
    """Run `meterstream api`, and return when it is ready."""
    with running(settings, "api", API) as child:
        child.wait_ready()
        yield child


def environment(settings: Settings, port: int) -> dict[str, str]:
    """Return the variables that say all that these settings say of stores and places."""
    password = settings.clickhouse.password
    stripe = settings.stripe
    secrets = {
        "METERSTREAM_VALKEY__URL": settings.valkey.url,
        "METERSTREAM_STRIPE__API_KEY": stripe.api_key,
        "METERSTREAM_IDENTITY__JWT_SECRET": settings.identity.jwt_secret,
    }
    return {
        **{name: secret.get_secret_value() for name, secret in secrets.items() if secret is not None},
        **({} if stripe.api_base is None else {"METERSTREAM_STRIPE__API_BASE": stripe.api_base}),
        "METERSTREAM_STRIPE__WEBHOOK_SECRETS": ",".join(one.get_secret_value() for one in stripe.webhook_secrets),
        "METERSTREAM_STATE_DIR": str(settings.state_dir),
        "METERSTREAM_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "METERSTREAM_KAFKA__SECURITY_PROTOCOL": settings.kafka.security_protocol,
        "METERSTREAM_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
        "METERSTREAM_KAFKA__PARTITIONS": str(settings.kafka.partitions),
        "METERSTREAM_POSTGRES__URL": settings.postgres.url.get_secret_value(),
        "METERSTREAM_CLICKHOUSE__URL": settings.clickhouse.url,
        "METERSTREAM_CLICKHOUSE__USER": settings.clickhouse.user,
        "METERSTREAM_CLICKHOUSE__PASSWORD": password.get_secret_value() if password else "",
        "METERSTREAM_CLICKHOUSE__DATABASE": settings.clickhouse.database,
        "METERSTREAM_WORKER__NAME": settings.worker.name or "bench",
        "METERSTREAM_WORKER__INDEX_DIR": str(settings.worker.index_dir),
        "METERSTREAM_WORKER__PORT": str(port),
        "METERSTREAM_API__PORT": str(port),
        "METERSTREAM_API__HOST": LOOPBACK,
    }
