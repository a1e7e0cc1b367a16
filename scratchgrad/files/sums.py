"""sha256 sums of files that are looked at again and again: a file that was not touched since is not read again."""

from __future__ import annotations

import json
import re
from pathlib import Path

from scratchgrad.files.atomic import atomic_file
from scratchgrad.files.json_files import parse_json
from scratchgrad.files.manifest import sha256_of

_SUM = re.compile("[0-9a-f]{64}")


class KnownSums:
    """The sums that a file keeps; whatever else it holds counts as nothing.

    A file is taken for the one of the last look where path, size, number on the disk and times of change are the same.
    The time of the last change to its inode is one of them: a program that writes to a file cannot turn that back.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            kept = parse_json(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            kept = {}
        entries = kept.items() if isinstance(kept, dict) else ()
        self._known = {name: sum for name, sum in entries if isinstance(sum, str) and _SUM.fullmatch(sum)}
        self._is_changed = False

    def sha256(self, path: Path) -> str:
        """Of the file's content, in hexadecimal; OSError where it has to be read and cannot be."""
        status = path.stat()
        key = f"{path.absolute()} {status.st_size} {status.st_ino} {status.st_mtime_ns} {status.st_ctime_ns}"
        if key not in self._known:
            self._known[key], self._is_changed = sha256_of(path), True
        return self._known[key]

    def save(self) -> None:
        """Keep what was learnt."""
        if self._is_changed:
            with atomic_file(self._path) as file:
                file.write(json.dumps(self._known).encode())
            self._is_changed = False
