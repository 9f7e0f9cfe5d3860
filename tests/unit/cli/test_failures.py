"""A command that fails because nothing runs says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from cli.failures import shown_failures
from devstack.plan import stack_for
from runtime.errors import MeterstreamError, NotFoundError, Unavailable
from runtime.settings import Settings

WAY_OUT = "Nothing runs here: `meterstream up` starts everything."


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERSTREAM_STATE_DIR", str(tmp_path))
    monkeypatch.delenv("METERSTREAM_POSTGRES__URL", raising=False)


def told(failure: MeterstreamError, capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(typer.Exit) as ended, shown_failures():
        raise failure
    assert ended.value.exit_code == 1
    return capsys.readouterr().err.splitlines()


def test_without_a_stack_the_way_out_is_to_start_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(Unavailable("no connection"), capsys) == ["UNAVAILABLE: no connection", WAY_OUT]


def test_a_stopped_stack_is_to_be_started(capsys: pytest.CaptureFixture[str]) -> None:
    stack_for(Settings(), None, usual_ports=False).save()
    assert told(Unavailable("no connection"), capsys) == ["UNAVAILABLE: no connection", WAY_OUT]


def test_stores_of_ones_own_are_not_ours_to_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METERSTREAM_POSTGRES__URL", "postgresql://127.0.0.1:1/elsewhere")
    assert told(Unavailable("no connection"), capsys) == ["UNAVAILABLE: no connection"]


def test_what_is_no_outage_has_no_such_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(NotFoundError("No organization."), capsys) == ["NOT_FOUND: No organization."]
