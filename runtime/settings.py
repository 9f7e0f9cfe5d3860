"""Settings of every process, from environment variables named `METERSTREAM_<GROUP>__<FIELD>`.

Callers are handed the group that they need, never the whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _split_at_commas(value: Any) -> Any:
    """Read `a,b` as people write it in an environment file; lists pass."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class KafkaSettings(_Group):
    """How to reach Kafka, and the shape of the topics we create there."""

    bootstrap_servers: str = "127.0.0.1:9092"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_file: Path | None = None
    ssl_cert_file: Path | None = None
    ssl_key_file: Path | None = None
    partitions: int = Field(default=8, ge=1, le=1024, description="Fixed for the life of a topic version.")
    replication_factor: int = Field(default=1, ge=1, le=7)
    min_insync_replicas: int = Field(default=1, ge=1, le=7)
    retention_ms: int = Field(default=-1, description="-1 keeps the log for ever; else at least 40 days.")
    topic_prefix: str = Field(
        default="", description="Prepended to every topic and group, so that stacks can share a broker."
    )
    session_timeout_ms: int = Field(default=6_000, ge=1_000)
    heartbeat_interval_ms: int = Field(default=1_000, ge=100)
    rebalance_timeout_s: float = Field(default=3.0, gt=0)


class PostgresSettings(_Group):
    """How to reach Postgres. TLS is part of the URL (`?sslmode=verify-full&sslrootcert=…`)."""

    url: SecretStr = Field(default=SecretStr("postgresql://127.0.0.1:5432/meterstream"))
    pool_min: int = Field(default=1, ge=0)
    pool_max: int = Field(default=10, ge=1)
    connect_timeout_s: float = Field(default=5.0, gt=0)
    statement_timeout_s: float = Field(default=30.0, gt=0)


class ClickhouseSettings(_Group):
    """How to reach ClickHouse over HTTP(S)."""

    url: str = "http://127.0.0.1:8123"
    user: str = "default"
    password: SecretStr | None = None
    database: str = "meterstream"
    ca_file: Path | None = None
    verify_tls: bool = True
    query_timeout_s: float = Field(default=30.0, gt=0)
    replicated: bool = Field(default=False, description="True on a cluster: tables are made with replicated engines.")


class ValkeySettings(_Group):
    """How to reach Valkey, which holds rate limits and caches: losing it costs speed, not truth."""

    url: SecretStr | None = Field(
        default=None, description="valkey://… or, with TLS, valkeys://…; unset: no rate limits, no shared caches."
    )
    timeout_s: float = Field(default=0.2, gt=0, description="Of one command; slower is treated as down.")


class IdentitySettings(_Group):
    """Who signs the tokens of people: a shared secret (HS256) or a set of public keys. Neither: only API keys work."""

    jwt_secret: SecretStr | None = Field(
        default=None, min_length=32, description="Of HS256, at least 32 characters: Supabase's JWT secret, or your own."
    )
    jwks_url: str | None = Field(
        default=None,
        pattern=r"^(https://|http://(localhost|127\.0\.0\.1|\[::1\])[:/])",
        description="Of the issuer's public keys (RS256, ES256, EdDSA …), such as"
        " https://<project>.supabase.co/auth/v1/.well-known/jwks.json.",
    )
    audience: str = Field(default="authenticated", min_length=1, description="Which `aud` a token must have.")
    issuer: str | None = Field(default=None, description="Which `iss` a token must have; unset: any.")
    leeway_s: float = Field(default=10.0, ge=0, le=300, description="How far clocks may be apart.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        """With both, a token could choose how it is checked."""
        if self.jwt_secret is not None and self.jwks_url is not None:
            raise ValueError("set jwt_secret or jwks_url, not both")
        return self


# As the package `limits` reads them.
RateLimit = Annotated[str, Field(pattern=r"^[1-9]\d{0,8}/([1-9]\d{0,3} )?(second|minute|hour|day)s?$")]


# As browsers send it in `Origin`.
Origin = Annotated[str, Field(pattern=r"^https?://[a-z0-9.-]+(:[0-9]{1,5})?$|^https?://\[[0-9a-f:]+\](:[0-9]{1,5})?$")]


class ApiSettings(_Group):
    """The HTTP service."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65_535)
    max_events: int = Field(default=1_000, ge=1)
    max_body_bytes: int = Field(default=5_000_000, ge=1)
    produce_timeout_s: float = Field(default=10.0, gt=0)
    producer_buffer_bytes: int = Field(default=64_000_000, ge=1)
    stalled_after_s: float = Field(
        default=60.0, gt=0, description="Lag that grows for this long without a commit is a stall."
    )
    key_limit: RateLimit = Field(default="2000/second", description="Requests of one API key.")
    user_limit: RateLimit = Field(default="200/second", description="Requests of one person who signed in.")
    address_limit: RateLimit = Field(
        default="200/second",
        description="Requests of one address without a credential, or with one that was not good before.",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_at_commas)] = Field(
        default=(), description="Addresses or networks whose X-Forwarded-For is believed, separated by commas."
    )
    cors_origins: Annotated[tuple[Origin, ...], NoDecode, BeforeValidator(_split_at_commas)] = Field(
        default=(),
        description="Whose web pages may call the API from a browser, such as https://app.example.com, separated by"
        " commas; without a path or a slash at the end.",
    )
    return_origins: Annotated[tuple[Origin, ...], NoDecode, BeforeValidator(_split_at_commas)] = Field(
        default=(),
        description="Where Stripe's pages may send customers back to, such as https://app.example.com, separated by"
        " commas. Unset: any address over HTTPS, and http://localhost.",
    )
    max_streams: int = Field(default=1_000, ge=1, description="Open event streams of this process.")
    max_streams_each: int = Field(default=10, ge=1, description="Open event streams of one key or person.")
    stripe_give_up_s: float = Field(
        default=10.0, gt=0, description="A request that needs Stripe answers 503 once Stripe gave none for so long."
    )
    organization: str | None = Field(
        default=None,
        description="Whose plans are listed where a request names no organization. Only an operator can make it, with"
        " `meterstream keys create … --create-organization`.",
    )
    max_organizations_each: int = Field(
        default=3,
        ge=0,
        description="Organizations that a person may own before they can make no further one; 0: only operators make"
        " organizations, with `meterstream keys create … --create-organization`.",
    )
    max_api_keys_each: int = Field(default=100, ge=1, description="API keys of one organization that are not revoked.")


class WorkerSettings(_Group):
    """A background worker: its batches, and the port that tells its health."""

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65_535, description="Health and metrics; 0 takes a free one.")
    name: str | None = Field(
        default=None, description="Stable name of this member (static membership); made from host and port if unset."
    )
    block_max_records: int = Field(default=50_000, ge=1)
    block_wait_s: float = Field(default=0.1, gt=0, description="How long the broker may gather records for a block.")
    fetch_min_bytes: int = Field(default=4_000_000, ge=1, description="With this much the broker does not wait.")
    fetch_max_bytes: int = Field(default=8_000_000, ge=100_000, description="Of all partitions in one answer.")
    fetch_partition_bytes: int = Field(default=4_000_000, ge=100_000, description="Of one partition in one answer.")
    threads: int = Field(default=3, ge=1, le=64, description="Blocks in hand at once.")
    load_max_records: int = Field(default=200_000, ge=1)
    load_wait_s: float = Field(default=0.5, gt=0)
    retry_max_s: float = Field(
        default=300.0, gt=0, description="How long a transient failure is repeated before the worker stops."
    )
    default_organization: str | None = Field(
        default=None, description="Slug that owns Kafka records which name no organization."
    )
    index_dir: Path | None = Field(default=None, description="First-seen index; `<state_dir>/first_seen` if unset.")


class StripeSettings(_Group):
    """How to reach Stripe, and how hard to try. Without a key nothing is sold."""

    api_key: SecretStr | None = None
    api_base: str | None = Field(default=None, description="A simulator or a proxy; Stripe itself if unset.")
    webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split_at_commas)] = Field(
        default=(), description="Separated by commas; several while one replaces the other."
    )
    timeout_s: float = Field(default=30.0, gt=0, description="Of one try.")
    max_requests_per_s: int | None = Field(
        default=None,
        ge=1,
        description="Of this process. Unset: what Stripe allows the whole account, 100 live and 25 in a sandbox.",
    )
    max_tries: int = Field(default=8, ge=1)
    give_up_s: float = Field(default=60.0, gt=0, description="No try of a call begins later than this.")
    breaker_failures: int = Field(
        default=10, ge=1, description="After so many failures of the service in a row it is left alone for a while."
    )
    breaker_open_s: float = Field(default=15.0, gt=0)


class Settings(BaseSettings):
    """Everything, read once in a composition root."""

    model_config = SettingsConfigDict(
        env_prefix="METERSTREAM_",
        env_nested_delimiter="__",
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,  # a refused value may be a secret
    )

    state_dir: Path = Path(".meterstream")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "console"] = "json"
    kafka: KafkaSettings = KafkaSettings()
    postgres: PostgresSettings = PostgresSettings()
    clickhouse: ClickhouseSettings = ClickhouseSettings()
    valkey: ValkeySettings = ValkeySettings()
    identity: IdentitySettings = IdentitySettings()
    api: ApiSettings = ApiSettings()
    worker: WorkerSettings = WorkerSettings()
    stripe: StripeSettings = StripeSettings()
