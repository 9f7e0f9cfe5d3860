from __future__ import annotations

import logging

import pytest
import stripe
from pydantic import SecretStr

from runtime.errors import RefusedToStart
from runtime.settings import Settings, StripeSettings
from sinks.stripe.calls import API_VERSION
from sinks.stripe.client import StripeGateway, allowed_per_s

_KEY = "sk_test_51Secret"


def _settings(key: str | None = _KEY, **others: object) -> StripeSettings:
    return StripeSettings.model_validate({"api_key": key, **others})


def test_the_library_speaks_the_version_that_we_were_written_for() -> None:
    assert stripe.api_version == API_VERSION


@pytest.mark.parametrize("key", [None, "", "sk test", "sk_test_ä", "sk_test_x\n"])
def test_without_a_usable_key_it_does_not_start(key: str | None) -> None:
    with pytest.raises(RefusedToStart, match="METERSTREAM_STRIPE__API_KEY") as refused:
        StripeGateway(_settings(key))
    assert not key or key not in str(refused.value)


@pytest.mark.parametrize("base", ["ftp://127.0.0.1", "stripe.example", "https://", "127.0.0.1:80"])
def test_a_base_that_is_no_url_is_refused(base: str) -> None:
    with pytest.raises(RefusedToStart, match="METERSTREAM_STRIPE__API_BASE"):
        StripeGateway(_settings(api_base=base))


async def test_a_live_key_travels_encrypted_or_not_at_all() -> None:
    with pytest.raises(RefusedToStart, match="a live API key"):
        StripeGateway(_settings("sk_live_1", api_base="http://stripe.example"))
    async with StripeGateway(_settings("sk_live_1", api_base="http://127.0.0.1:9")):
        pass
    async with StripeGateway(_settings("sk_test_1", api_base="http://simulator:9")):
        pass


async def test_another_version_of_the_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with StripeGateway(_settings()):
        monkeypatch.setattr(stripe, "api_version", "2099-01-01.future")
    with pytest.raises(RefusedToStart, match=r"2099-01-01\.future"):
        StripeGateway(_settings())


def test_a_library_that_would_print_bodies_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_LOG", "debug")
    with pytest.raises(RefusedToStart, match="STRIPE_LOG"):
        StripeGateway(_settings())


async def test_the_libraries_keep_quiet_and_tell_nothing_of_the_machine() -> None:
    async with StripeGateway(_settings(api_base="http://127.0.0.1:9")):
        assert not logging.getLogger("stripe").isEnabledFor(logging.INFO)
        assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)
        assert stripe.enable_telemetry is False


@pytest.mark.parametrize(
    ("key", "own", "allowed"),
    [
        ("sk_live_1", None, 100),
        ("rk_live_1", None, 100),
        ("sk_test_1", None, 25),
        ("rk_test_1", None, 25),
        ("sk_live_1", 3, 3),
        ("sk_test_1", 40, 40),
    ],
)
def test_stripes_own_limits_hold_unless_others_are_set(key: str, own: int | None, allowed: int) -> None:
    assert allowed_per_s(_settings(key, max_requests_per_s=own)) == allowed


def test_settings_come_from_the_environment_and_hide_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERSTREAM_STRIPE__API_KEY", _KEY)
    monkeypatch.setenv("METERSTREAM_STRIPE__WEBHOOK_SECRETS", "whsec_new, whsec_old")
    settings = Settings()
    assert settings.stripe.api_key == SecretStr(_KEY)
    assert [secret.get_secret_value() for secret in settings.stripe.webhook_secrets] == ["whsec_new", "whsec_old"]
    shown = f"{settings!r} {settings} {settings.model_dump_json()}"
    assert not any(secret in shown for secret in (_KEY, "whsec_new", "whsec_old"))


def test_settings_that_do_not_fit_hide_secrets_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERSTREAM_STRIPE__API_KEY", _KEY)
    monkeypatch.setenv("METERSTREAM_STRIPE__API_KEYS", "sk_test_mistyped")
    with pytest.raises(ValueError, match="api_keys") as refused:
        Settings()
    assert "sk_test" not in f"{refused.value!r} {refused.value}"
