"""Real jobs of real processes: `mpirun`, the ranks below it, and the traces they leave."""

import os
import signal
import subprocess
import sysconfig
import time
from pathlib import Path
from typing import Any

import pytest

from scratchgrad.train import metrics

SCRIPTS = Path(sysconfig.get_path("scripts"))
MPIRUN = SCRIPTS / "mpirun"
PATIENCE = 90  # seconds until a job that does not end counts as one that hangs


class Job:
    """A running command line. Whatever a test does, nothing of it is left when the test is over."""

    def __init__(self, words: list[str], folder: Path, environment: dict[str, str]) -> None:
        self.said = folder / f"said-{time.monotonic_ns()}"
        with self.said.open("wb") as file:
            self.process = subprocess.Popen(
                words, cwd=folder, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env={**os.environ, **environment}, start_new_session=True,
            )  # fmt: skip

    @property
    def output(self) -> str:
        return self.said.read_text(errors="replace")

    def ranks(self) -> dict[int, int]:
        """The process of every rank, by what the launcher told it."""
        told = {pid: environment(pid).get("PMI_RANK") for pid in descendants(self.process.pid)}
        return {int(rank): pid for pid, rank in sorted(told.items(), reverse=True) if rank is not None}

    def wait_for(self, text: str) -> None:
        end = time.monotonic() + PATIENCE
        while text not in self.output:
            assert self.process.poll() is None, f"it ended without {text!r}:\n{self.output}"
            assert time.monotonic() < end, f"it did not say {text!r}:\n{self.output}"
            time.sleep(0.01)

    def end(self, patience: float = PATIENCE) -> int:
        """Its exit code, once it has ended by itself."""
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the job hangs:\n{self.output}")

    def kill(self) -> None:
        """SIGKILL to all of it at once, the way a power cut would end it."""
        for pid in [*descendants(self.process.pid), self.process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()


def descendants(root: int) -> list[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def environment(pid: int) -> dict[str, str]:
    """What the process was started with; nothing of one that is gone."""
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return dict(entry.partition("=")[::2] for entry in entries if entry)


def rows_without_time(run: Path) -> list[Any]:
    """metrics.jsonl of a run, without what the clock says."""
    return [
        {key: value for key, value in row.items() if key != "tokens_per_s"}
        for row in metrics.read(run / "metrics.jsonl")
    ]
