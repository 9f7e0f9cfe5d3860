"""What the documents point to is there: links, every path of ours that they name, and every setting."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from runtime.settings import Settings

ROOT = Path(__file__).parents[3]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
PATH = re.compile(rf"`((?:{'|'.join([*PACKAGES, 'tests', 'docs'])})/[\w./-]*)`")
SETTING = re.compile(r"METERSTREAM_([A-Z]+)__([A-Z_]+[A-Z])")
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_and_links_exist(document: Path) -> None:
    text = document.read_text()
    named = [ROOT / path for path in PATH.findall(text)] + [document.parent / link for link in LINK.findall(text)]
    assert [str(path) for path in named if not path.exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_settings_exist(document: Path) -> None:
    settings = Settings()
    named = SETTING.findall(document.read_text())
    assert [(group, name) for group, name in named if not hasattr(getattr(settings, group.lower()), name.lower())] == []


def test_architecture_has_a_line_for_every_folder() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    assert [name for name in [*PACKAGES, "tests"] if f"| `{name}/` |" not in text] == []


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = (folder / "README.md").read_text()
    assert [path.name for path in folder.glob("0*.md") if f"({path.name})" not in listed] == []
