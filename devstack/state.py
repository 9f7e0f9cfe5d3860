"""The running embedded stack as every other command finds it: `<state dir>/stack.json`, mode 0600."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from runtime.errors import RefusedToStart
from runtime.settings import IdentitySettings, Settings, StripeSettings

_FILE = "stack.json"
Group = TypeVar("Group", bound=BaseModel)


class PartState(BaseModel):
    """One part: an engine or a service."""

    model_config = ConfigDict(frozen=True)

    name: str
    url: str
    """As a person would open it; without password."""
    external: bool = False
    """True when a URL in the environment replaces the part: we neither start nor stop it."""


class Secrets(BaseModel):
    """Generated once for a stack's data."""

    model_config = ConfigDict(frozen=True)

    postgres_password: str
    clickhouse_password: str
    dashboards_password: str
    valkey_password: str | None = None
    stripe_api_key: str | None = None
    """The simulator's."""
    stripe_webhook_secret: str | None = None
    """With which the simulator signs what it sends to the API."""
    jwt_secret: str | None = None
    """Signs the tokens that `meterstream tokens create` makes."""


class Stack(BaseModel):
    """What `up` wrote: where everything is, and how to get in."""

    model_config = ConfigDict(frozen=True)

    state_dir: Path
    kafka_bootstrap_servers: str
    postgres_url: str
    clickhouse_url: str
    clickhouse_user: str
    clickhouse_password: str | None
    valkey_url: str | None = None
    stripe_api_base: str | None = None
    """The simulator; None where Stripe itself is set in the environment: its key is never written here."""
    jwt_secret: str | None = None
    """None where the environment says who signs tokens."""
    parts: tuple[PartState, ...] = ()
    ports: dict[str, int] = Field(default_factory=dict)
    secrets: Secrets | None = None

    def settings(self) -> Settings:
        """Return the settings of a process that uses this stack; what is set in the environment wins."""
        configured = Settings()
        clickhouse: dict[str, Any] = {"url": self.clickhouse_url, "user": self.clickhouse_user}
        if self.clickhouse_password is not None:
            clickhouse["password"] = SecretStr(self.clickhouse_password)
        return configured.model_copy(
            update={
                "stripe": self._stripe(configured),
                "identity": self._identity(configured),
                "state_dir": self.state_dir,
                "kafka": _fill(configured.kafka, bootstrap_servers=self.kafka_bootstrap_servers),
                "postgres": _fill(configured.postgres, url=SecretStr(self.postgres_url)),
                "clickhouse": _fill(configured.clickhouse, **clickhouse),
                "valkey": _fill(configured.valkey, url=SecretStr(self.valkey_url) if self.valkey_url else None),
            }
        )

    def environment(self) -> dict[str, str]:
        """Return the variables that point a child process to this stack."""
        found = {
            "METERSTREAM_KAFKA__BOOTSTRAP_SERVERS": self.kafka_bootstrap_servers,
            "METERSTREAM_POSTGRES__URL": self.postgres_url,
            "METERSTREAM_CLICKHOUSE__URL": self.clickhouse_url,
            "METERSTREAM_CLICKHOUSE__USER": self.clickhouse_user,
        }
        if self.clickhouse_password is not None:
            found["METERSTREAM_CLICKHOUSE__PASSWORD"] = self.clickhouse_password
        if self.valkey_url is not None:
            found["METERSTREAM_VALKEY__URL"] = self.valkey_url
        if self.jwt_secret is not None:
            found["METERSTREAM_IDENTITY__JWT_SECRET"] = self.jwt_secret
        return found | self.simulator_environment()

    def simulator_environment(self) -> dict[str, str]:
        """Return the variables that point a program to the Stripe simulator; none where there is no simulator."""
        if self.stripe_api_base is None or self.secrets is None or self.secrets.stripe_api_key is None:
            return {}
        return {
            "METERSTREAM_STRIPE__API_BASE": self.stripe_api_base,
            "METERSTREAM_STRIPE__API_KEY": self.secrets.stripe_api_key,
            "METERSTREAM_STRIPE__WEBHOOK_SECRETS": self.secrets.stripe_webhook_secret or "",
        }

    def _stripe(self, configured: Settings) -> StripeSettings:
        """Key and address come from one place, so that no key goes to somebody else's address."""
        simulator = self.simulator_environment()
        if stripe_is_set(configured) or not simulator:
            return configured.stripe
        return configured.stripe.model_copy(
            update={
                "api_base": simulator["METERSTREAM_STRIPE__API_BASE"],
                "api_key": SecretStr(simulator["METERSTREAM_STRIPE__API_KEY"]),
                "webhook_secrets": (SecretStr(simulator["METERSTREAM_STRIPE__WEBHOOK_SECRETS"]),),
            }
        )

    def _identity(self, configured: Settings) -> IdentitySettings:
        if identity_is_set(configured) or self.jwt_secret is None:
            return configured.identity
        return configured.identity.model_copy(update={"jwt_secret": SecretStr(self.jwt_secret)})

    def save(self) -> None:
        """Write the file so that nobody else can read it."""
        self.state_dir.mkdir(parents=True, exist_ok=True)
        temporary = self.state_dir / f"{_FILE}.tmp"
        temporary.touch(mode=0o600)
        temporary.chmod(0o600)
        temporary.write_text(self.model_dump_json(indent=2))
        temporary.replace(self.state_dir / _FILE)


def _fill(group: Group, **values: Any) -> Group:
    """Return the settings group with `values` where the environment says nothing."""
    return group.model_copy(update={key: value for key, value in values.items() if key not in group.model_fields_set})


def stripe_is_set(settings: Settings) -> bool:
    """Tell whether Stripe, or something that the operator runs in its place, is set in the environment."""
    return settings.stripe.api_key is not None or settings.stripe.api_base is not None


def identity_is_set(settings: Settings) -> bool:
    """Tell whether the environment says who signs tokens."""
    return settings.identity.jwt_secret is not None or settings.identity.jwks_url is not None


def find_stack(state_dir: Path) -> Stack | None:
    """Return the stack whose data is in `state_dir`, or None. Its processes may be stopped: see `devstack.up`.

    Raises:
        RefusedToStart: the file is there and cannot be read.
    """
    path = state_dir / _FILE
    try:
        return Stack.model_validate_json(path.read_text())
    except FileNotFoundError:
        return None
    except ValidationError as exc:
        raise RefusedToStart(f"{path} cannot be read; `meterstream up --fresh` begins anew.") from exc
