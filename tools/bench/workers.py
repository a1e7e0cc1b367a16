"""Measurements are made in processes of their own, so that no system inherits another's memory, caches or threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from scratchgrad.errors import UserError


def worker_command(program: Path, *arguments: object) -> list[str]:
    """The command line of a worker, which is a Python program. -P: its folder is no place to import from."""
    return [sys.executable, "-P", str(program), *map(str, arguments)]


def run_worker(command: list[str], environment: Mapping[str, str] | None = None) -> Any:
    """The JSON that a worker prints; UserError with what it says where it fails. environment: beside our own."""
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(environment or {})})
    if done.returncode != 0:
        raise UserError(f"{' '.join(command)} failed:\n{done.stderr.strip()}")
    return json.loads(done.stdout)


def check_peers(peers: Iterable[str], known: Collection[str]) -> None:
    """UserError where a peer is not one of `known`, or not installed. A peer is named as the package that it is."""
    for peer in peers:
        if peer not in known or find_spec(peer) is None:
            raise UserError(
                f"the peer '{peer}' is not installed here; known ones: {', '.join(known)} "
                "(pip install scratchgrad[bench])"
            )
