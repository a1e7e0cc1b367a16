"""manifest.json: the size and sha256 of every file of a folder, so that damage is seen before it is used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scratchgrad.errors import UserError, quoted
from scratchgrad.files.atomic import atomic_file
from scratchgrad.files.json_files import parse_json

NAME = "manifest.json"
LONGEST_NAME = 255  # bytes
MOST_FAULTS = 3  # that a message tells


class DamagedFiles(UserError):
    """Files that are not what their manifest says; the message names each."""


def write_manifest(folder: Path, **facts: Any) -> None:
    """Describe every file below `folder`, with `facts` beside them."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != NAME)
    files = {p.relative_to(folder).as_posix(): {"bytes": p.stat().st_size, "sha256": sha256_of(p)} for p in paths}
    with atomic_file(folder / NAME) as file:
        file.write(json.dumps({"files": files, **facts}, indent=1).encode())


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_manifest(
    folder: Path, *, sizes_only: bool = False, sha256: Callable[[Path], str] = sha256_of
) -> dict[str, Any]:
    """The facts of a folder's manifest, once every file was found to be what it says; DamagedFiles otherwise.

    sha256: of a file, for large ones that are looked at on every start (`KnownSums`). `sizes_only` does not read them.
    """
    try:
        manifest = parse_json((folder / NAME).read_bytes())
        files = {
            str(name): (int(entry["bytes"]), str(entry["sha256"])) for name, entry in manifest.pop("files").items()
        }
    except FileNotFoundError:
        raise DamagedFiles(f"'{folder}' has no {NAME}: it is not complete") from None
    except OSError as error:  # a file where a folder was, say
        raise DamagedFiles(f"'{folder / NAME}' cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        raise DamagedFiles(f"'{folder / NAME}' is not a manifest") from None
    faults = []
    for name, (size, digest) in files.items():
        path = folder / name
        name = quoted(name)
        if "\0" in str(path) or len(path.name.encode(errors="replace")) > LONGEST_NAME:
            faults.append(f"{name} is no name of a file")
        elif not path.resolve().is_relative_to(folder.resolve()):
            faults.append(f"{name} lies outside the folder")
        elif not path.is_file():
            faults.append(f"{name} is missing")
        elif path.stat().st_size != size:
            faults.append(f"{name} has {path.stat().st_size} bytes where {size} were written")
        elif not sizes_only and (fault := _altered(path, digest, sha256)) is not None:
            faults.append(f"{name} {fault}")
    if faults:
        more = f"; and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
        raise DamagedFiles(f"'{folder}' is damaged: {'; '.join(faults[:MOST_FAULTS])}{more}")
    assert isinstance(manifest, dict)
    return manifest


def _altered(path: Path, digest: str, sha256: Callable[[Path], str]) -> str | None:
    try:
        return None if sha256(path) == digest else "was altered"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
