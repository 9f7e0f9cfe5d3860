"""Settings that a typing mistake must not make worthless."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from runtime.settings import ApiSettings, Settings


def test_origins_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERSTREAM_API__CORS_ORIGINS", "https://app.example.com, http://localhost:3000")
    assert Settings().api.cors_origins == ("https://app.example.com", "http://localhost:3000")


@pytest.mark.parametrize(
    "origin",
    ["app.example.com", "https://app.example.com/", "https://app.example.com/path", "*", "https://App.com", ""],
)
def test_what_no_browser_sends_as_its_origin_is_refused(origin: str) -> None:
    with pytest.raises(ValidationError):
        ApiSettings(cors_origins=(origin,))
