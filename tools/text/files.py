"""The files that globs and folders mean."""

from __future__ import annotations

import glob
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from scratchgrad.errors import UserError
from scratchgrad.tools.text.raw_file import COMPRESSIONS, kind_of

SHOWN = 10  # endings in a sentence


def find_files(globs: Sequence[str], suffixes: Sequence[str], left_out: Counter[str] | None = None) -> list[Path]:
    """The files that are meant, each once, in the order of their names.

    globs: of files; a name that is a file's is that file, and a folder's name is all files below it that can be read,
    but for hidden and empty ones; so is `folder/**`, and a folder with such an ending that a glob matches. Of a Hugging
    Face data set on disk it is the data. ~ is the home folder. left_out: counts by ending what lies below a folder and
    cannot be read, or is empty. UserError where nothing is meant, and for a file that is named otherwise and has none
    of the endings, with .gz or .zst behind it or not.
    """
    found: set[str] = set()
    for pattern in globs:
        meant = os.path.expanduser(pattern)
        named, below = _meant(meant, suffixes)
        for name in named:
            if kind_of(Path(name)) not in suffixes:
                packed = " or ".join(COMPRESSIONS)
                raise UserError(f"'{name}': only {_told(suffixes)} files are read, and these with {packed}")
        # Of a folder nobody has listed the files, and an empty __init__.py stands in most.
        readable = [name for name in below if kind_of(Path(name)) in suffixes and os.path.getsize(name)]
        if left_out is not None:
            left_out.update(kind_of(Path(name)) or "none" for name in set(below).difference(readable))
        if not named and not readable:
            if os.path.isdir(meant) or below:
                raise UserError(f"no file below '{pattern}' can be read: none is {_told(suffixes)}, or all are empty")
            raise UserError(f"no file matches '{pattern}'" if glob.has_magic(meant) else f"'{pattern}' does not exist")
        found.update(named, readable)
    return [Path(name) for name in sorted(found)]


def _meant(pattern: str, suffixes: Sequence[str]) -> tuple[list[str], list[str]]:
    """Files by their own names, and those below folders."""
    if os.path.isdir(pattern):
        return [], list(_below(pattern))
    if os.path.exists(pattern):
        return [pattern], []
    parts = Path(pattern).parts
    if "**" in parts:
        first = parts.index("**")
        matches = [name for root in _roots(parts[:first]) for name in _below(root, parts[first:])]
    else:
        matches = glob.glob(pattern)
    files = [name for name in matches if os.path.isfile(name)]
    if parts[-1:] == ("**",):
        return [], files
    folders = [name for name in matches if os.path.isdir(name) and kind_of(Path(name)) in suffixes]
    return files, [file for folder in folders for file in _below(folder)]


def _roots(parts: Sequence[str]) -> list[str]:
    return glob.glob(os.path.join(*parts)) if parts else [""]


def _below(root: str, parts: Sequence[str] = ("**",)) -> Iterator[str]:
    """The files below a folder whose paths match, hidden ones left out. A link to a folder is followed once."""
    seen = {os.path.realpath(root or ".")}
    for folder, folders, names in os.walk(root or ".", followlinks=True):
        where = folder if root else os.path.relpath(folder)
        inside = Path(os.path.relpath(folder, root or ".")).parts
        folders.sort(key=lambda name: (os.path.islink(os.path.join(folder, name)), name))
        kept = []
        for name in folders:
            real = os.path.realpath(os.path.join(folder, name))
            if not name.startswith(".") and real not in seen:
                seen.add(real)
                kept.append(name)
        folders[:] = kept
        for name in _data_of(folder, sorted(names)):
            path = os.path.normpath(os.path.join(where, name))
            if not name.startswith(".") and _fits((*inside, name), parts) and os.path.isfile(path):
                yield path


def _fits(names: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether a path, by its parts, matches a glob, by its parts; ** stands for any number of folders."""
    if not parts or not names:
        return not parts and not names
    if parts[0] == "**":
        return len(parts) == 1 or _fits(names, parts[1:]) or _fits(names[1:], parts)
    return fnmatchcase(names[0], parts[0]) and _fits(names[1:], parts[1:])


def _data_of(folder: str, names: Sequence[str]) -> list[str]:
    """The files of a folder; where `datasets` has written it, those that hold data, not those that describe them."""
    if not any(name in names for name in ("dataset_info.json", "dataset_dict.json", "state.json")):
        return [name for name in names if not (name == "README.md" and _is_dataset_card(os.path.join(folder, name)))]
    try:
        state = json.loads(Path(folder, "state.json").read_bytes())
        return [file["filename"] for file in state["_data_files"] if file["filename"] in names]
    except (OSError, ValueError, KeyError, TypeError):
        return [name for name in names if not name.endswith(".json")]


def _is_dataset_card(path: str) -> bool:
    with open(path, "rb") as file:
        head = file.read(1 << 16)
    return head.startswith(b"---") and any(key in head for key in (b"\ndataset_info:", b"\nconfigs:"))


def _told(suffixes: Sequence[str]) -> str:
    if len(suffixes) > SHOWN:
        return f"{', '.join(suffixes[:SHOWN])} or one of {len(suffixes) - SHOWN} others"
    return ", ".join(suffixes[:-1]) + f" or {suffixes[-1]}"
