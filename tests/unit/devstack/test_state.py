"""The file by which every command finds the stack, and the settings that it gives."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from devstack.plan import stack_for
from devstack.ports import free_port
from devstack.state import find_stack
from devstack.up import EmbeddedStack
from runtime.errors import RefusedToStart
from runtime.settings import Settings

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def own_state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("METERSTREAM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("METERSTREAM_STATE_DIR", str(tmp_path))


def test_commands_find_what_up_wrote(tmp_path: Path) -> None:
    assert find_stack(tmp_path) is None
    written = stack_for(Settings(), None, usual_ports=False)
    written.save()
    found = find_stack(tmp_path)
    assert found == written
    settings = found.settings()
    assert settings.kafka.bootstrap_servers == f"127.0.0.1:{written.ports['kafka']}"
    assert settings.postgres.url.get_secret_value() == written.postgres_url
    assert settings.clickhouse.password is not None
    assert settings.state_dir == tmp_path


def test_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    written = stack_for(Settings(), None, usual_ports=False)
    monkeypatch.setenv("METERSTREAM_KAFKA__BOOTSTRAP_SERVERS", "kafka.example:9092")
    monkeypatch.setenv("METERSTREAM_KAFKA__PARTITIONS", "3")
    settings = written.settings()
    assert settings.kafka.bootstrap_servers == "kafka.example:9092"
    assert settings.kafka.partitions == 3
    assert settings.clickhouse.url == written.clickhouse_url


def test_a_url_replaces_the_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERSTREAM_POSTGRES__URL", "postgresql://me:hidden@db.example:5433/usage")
    stack = stack_for(Settings(), None, usual_ports=False)
    part = next(part for part in stack.parts if part.name == "postgres")
    assert part.external
    assert part.url == "postgresql://db.example:5433/usage"
    assert stack.postgres_url == "postgresql://me:hidden@db.example:5433/usage"
    assert [part.name for part in stack.parts if part.external] == ["postgres"]


def test_the_simulator_stands_in_until_stripe_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = stack_for(Settings(), None, usual_ports=False)
    assert [part.name for part in EmbeddedStack(stack).simulators] == ["stripe-simulator"]
    stripe = stack.settings().stripe
    assert stripe.api_base == f"http://127.0.0.1:{stack.ports['stripe-simulator']}"
    assert stripe.api_key is not None
    assert stack.environment()["METERSTREAM_STRIPE__API_KEY"] == stripe.api_key.get_secret_value()

    monkeypatch.setenv("METERSTREAM_STRIPE__API_KEY", "sk_live_real")
    # Of a stack that runs with the simulator: the real key must not go there.
    assert stack.settings().stripe.api_base is None
    real = stack_for(Settings(), stack, usual_ports=False)
    assert EmbeddedStack(real).simulators == []
    assert [part.name for part in real.parts if part.external] == ["stripe"]
    assert not [name for name in real.environment() if "STRIPE" in name]
    real.save()
    assert "sk_live_real" not in (tmp_path / "stack.json").read_text()


def test_a_stack_from_before_the_simulator_gets_one(tmp_path: Path) -> None:
    stack = stack_for(Settings(), None, usual_ports=False)
    assert stack.secrets is not None
    older = stack.model_dump(mode="json", exclude={"stripe_api_base": True, "secrets": {"stripe_api_key"}})
    del older["ports"]["stripe-simulator"]
    (tmp_path / "stack.json").write_text(json.dumps(older))
    before = find_stack(tmp_path)
    assert before is not None
    assert EmbeddedStack(before).simulators == []
    after = stack_for(Settings(), before, usual_ports=False)
    assert after.secrets is not None
    assert after.secrets.postgres_password == stack.secrets.postgres_password
    assert len(EmbeddedStack(after).simulators) == 1


def test_people_s_tokens_are_signed_with_a_secret_of_the_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = stack_for(Settings(), None, usual_ports=False)
    secret = stack.settings().identity.jwt_secret
    assert secret is not None
    assert stack.environment()["METERSTREAM_IDENTITY__JWT_SECRET"] == secret.get_secret_value()

    # Whoever signs people in elsewhere is not joined by a secret of ours.
    monkeypatch.setenv("METERSTREAM_IDENTITY__JWKS_URL", "https://issuer.test/jwks.json")
    assert stack.settings().identity.jwt_secret is None
    other = stack_for(Settings(), stack, usual_ports=False)
    assert not [name for name in other.environment() if "IDENTITY" in name]

    # A stack from before it has none until it is started again.
    monkeypatch.delenv("METERSTREAM_IDENTITY__JWKS_URL")
    older = stack.model_dump(mode="json", exclude={"jwt_secret": True, "secrets": {"jwt_secret"}})
    (tmp_path / "stack.json").write_text(json.dumps(older))
    before = find_stack(tmp_path)
    assert before is not None
    assert before.settings().identity.jwt_secret is None
    assert stack_for(Settings(), before, usual_ports=False).settings().identity.jwt_secret is not None


def test_ports_and_passwords_stay_and_a_taken_port_moves() -> None:
    first = stack_for(Settings(), None, usual_ports=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first.ports["postgres"]))
        taken.listen()
        second = stack_for(Settings(), first, usual_ports=False)
    assert second.secrets == first.secrets
    assert second.ports["kafka"] == first.ports["kafka"]
    assert second.ports["postgres"] != first.ports["postgres"]
    assert len(set(second.ports.values())) == len(second.ports)


def test_the_file_is_private_and_a_broken_one_says_so(tmp_path: Path) -> None:
    stack_for(Settings(), None, usual_ports=False).save()
    path = tmp_path / "stack.json"
    assert path.stat().st_mode & 0o077 == 0
    path.write_text("{")
    with pytest.raises(RefusedToStart, match="up --fresh"):
        find_stack(tmp_path)


def test_the_usual_port_is_taken_only_if_free() -> None:
    port = free_port()
    assert free_port(port) == port
    assert free_port(None) > 0
