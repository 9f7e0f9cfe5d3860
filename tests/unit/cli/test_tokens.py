from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from api.access.tokens import Person, TokenReader
from cli.tokens import tokens
from runtime.settings import IdentitySettings

SECRET = "a secret of at least thirty-two characters"


@pytest.fixture(autouse=True)
def nobody_s_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERSTREAM_STATE_DIR", str(tmp_path))


async def test_a_token_is_printed_and_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERSTREAM_IDENTITY__JWT_SECRET", SECRET)
    plain = CliRunner().invoke(tokens, ["create", "--user", "ada", "--email", "ada@example.com"])
    assert plain.exit_code == 0
    reader = TokenReader(IdentitySettings(jwt_secret=SecretStr(SECRET)))
    assert await reader.read(plain.stdout.strip()) == Person("ada", "ada@example.com")
    told = CliRunner().invoke(tokens, ["create", "--user", "bob", "--hours", "2", "--json"])
    assert await reader.read(json.loads(told.stdout)["token"]) == Person("bob", None)


def test_without_a_secret_there_is_no_token() -> None:
    refused = CliRunner().invoke(tokens, ["create", "--user", "ada"])
    assert refused.exit_code != 0
    assert "METERSTREAM_IDENTITY__JWT_SECRET" in refused.stderr
    assert refused.stdout == ""
