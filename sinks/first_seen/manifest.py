"""The manifest: the one file that says what a directory holds and up to which log position. Swapped atomically."""

from __future__ import annotations

from pathlib import Path

import msgspec
import xxhash

from sinks.first_seen.runs import Damaged, RunEntry, write_atomically

_FORMAT = 1
_NAME = "manifest"


class Owner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an index was built from; an index of anything else is of no use."""

    rules_version: int
    cluster_id: str
    topic: str
    partition: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The runs from old to new, and the position that they cover."""

    owner: Owner
    position: int
    next_number: int
    runs: tuple[RunEntry, ...]
    format: int = _FORMAT


def read_manifest(directory: Path, owner: Owner) -> Manifest | None:
    """Return the manifest; None if the directory has none yet.

    Raises:
        Damaged: unreadable, or written for another partition, log, or set of rules.
    """
    try:
        content = (directory / _NAME).read_bytes()
    except FileNotFoundError:
        return None
    checksum, _, body = content.partition(b"\n")
    if checksum != _checksum(body):
        raise Damaged("the manifest is damaged")
    try:
        manifest = msgspec.json.decode(body, type=Manifest)
    except msgspec.MsgspecError as exc:
        raise Damaged(f"the manifest is of another format: {exc}") from exc
    if manifest.format != _FORMAT:
        raise Damaged(f"the manifest has format {manifest.format} instead of {_FORMAT}")
    for field in Owner.__struct_fields__:
        if (held := getattr(manifest.owner, field)) != (wanted := getattr(owner, field)):
            raise Damaged(f"it was built for {field} {held!r} instead of {wanted!r}")
    return manifest


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Swap the manifest. From here on, and not before, a crash finds the new runs and position."""
    body = msgspec.json.encode(manifest)
    write_atomically(directory / _NAME, _checksum(body) + b"\n" + body)


def remove_unnamed(directory: Path, manifest: Manifest | None) -> None:
    """Delete our files that the manifest does not name: left by a crash, merged away, or never published."""
    named = {name for run in manifest.runs for name in run.file_names} | {_NAME} if manifest else set[str]()
    for pattern in ("*.hi", "*.rows", "*.tmp", _NAME):
        for path in directory.glob(pattern):
            if path.name not in named:
                path.unlink()


def _checksum(body: bytes) -> bytes:
    return xxhash.xxh3_64_hexdigest(body).encode()
