"""Signals from a command's first moment on: it ends quietly, with a shell's exit code, and leaves nothing half-written."""

import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

import scratchgrad_start
from scratchgrad.parallel.launcher import ANNOUNCEMENTS
from tests.jobs import SCRIPTS

SENT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def test_it_imports_nothing_that_takes_time():
    code = "import sys, scratchgrad_start; print([name for name in ('scratchgrad', 'numpy', 'click') if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert ran.stdout == "[]\n", ran.stderr


def test_every_command_starts_here():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    starts = {f"scratchgrad-{name}": f"scratchgrad_start:{name}" for name in scratchgrad_start.COMMANDS}
    assert project["scripts"] == starts


def test_it_knows_the_launchers_that_the_engine_knows():
    assert [names[:2] for names in scratchgrad_start.LAUNCHERS] == [names[:2] for names in ANNOUNCEMENTS]


def signalled_when(process, is_time, number):
    """Sent as soon as `is_time()`: what it says, and how it ends."""
    end = time.monotonic() + 60
    while not is_time():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.001)
    process.send_signal(number)
    return process.communicate(timeout=60)


@pytest.mark.parametrize(("name", "number"), [
    *((name, signal.SIGINT) for name in sorted(scratchgrad_start.COMMANDS)), ("train", signal.SIGTERM), ("train", signal.SIGHUP),
])  # fmt: skip
def test_a_signal_while_a_command_is_imported_ends_it_quietly(tmp_path, name, number):
    words = [str(SCRIPTS / f"scratchgrad-{name}"), "--help"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        maps = Path(f"/proc/{process.pid}/maps")
        told = signalled_when(process, lambda: "_multiarray_umath" in maps.read_text(), number)
    assert told == (b"", b"")
    assert process.returncode == 128 + number


def starts(name, *arguments, folder):
    return subprocess.Popen(
        [str(SCRIPTS / f"scratchgrad-{name}"), *map(str, arguments)],
        cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.parametrize("number", SENT)
def test_a_signal_ends_sampling_in_the_middle(tmp_path, model_folder, number):
    with starts("sample", "--model", model_folder, "--num-samples", 100000, folder=tmp_path) as process:
        process.stdout.read(200)
        _, said = signalled_when(process, lambda: True, number)
    assert process.returncode == 128 + number
    assert said.decode().splitlines() == [f"sampling from {model_folder}"]


def test_a_signal_ends_the_training_of_a_tokenizer_and_leaves_no_file(tmp_path):
    """With its workers, which hear it as well where a terminal sends it."""
    (tmp_path / "text.txt").write_text(" ".join(f"word{number * 7919 % 100003:x}" for number in range(300_000)))
    arguments = ("train", "--vocab-size", 20000, "--output", "made.json", "text.txt")
    with starts("tokenize", *arguments, folder=tmp_path) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        workers = []

        def has_workers():
            workers[:] = map(int, children.read_text().split())
            return workers

        _, said = signalled_when(process, has_workers, signal.SIGTERM)
    assert process.returncode == 143
    assert b"Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_a_signal_ends_a_command_that_waits_for_its_input(tmp_path, model_folder):
    with starts("tokenize", "encode", "--tokenizer", model_folder, folder=tmp_path) as process:
        stat = Path(f"/proc/{process.pid}/task/{process.pid}/stat")
        maps = Path(f"/proc/{process.pid}/maps")
        told = signalled_when(
            process,
            lambda: "_regex" in maps.read_text() and stat.read_text().rpartition(") ")[2][0] == "S",
            signal.SIGINT,
        )
    assert told == (b"", b"")
    assert process.returncode == 130


def test_a_signal_while_a_model_is_converted_leaves_no_half_of_a_file(tmp_path, model_folder):
    """In the middle of the first write, whatever file that is."""
    code = f"""
import os, signal, sys
sys.argv = ["scratchgrad-convert", {str(model_folder)!r}, "out", "--to", "hf"]
fsync = os.fsync
def interrupted(descriptor):
    signal.raise_signal(signal.SIGTERM)
    fsync(descriptor)
os.fsync = interrupted
import scratchgrad_start
scratchgrad_start.convert()
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (143, "")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
