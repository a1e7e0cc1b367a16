"""In CI a skip fails the run, unless it is for want of a GPU; elsewhere it is only reported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SKIPS = """
import pytest

@pytest.fixture
def peer():
    pytest.skip("no peer")

def test_in_the_test():
    pytest.skip("no peer")

@pytest.mark.skipif(True, reason="no peer")
def test_by_a_mark(): ...

def test_by_a_fixture(peer): ...
"""
WHOLE_FILE = "import pytest\npytest.importorskip('no_such_peer', reason='no peer')\n"
ALLOWED = """
import pytest

@pytest.mark.parametrize("reason", ["CuPy is not installed", "CuPy finds no GPU with a driver here"])
def test_gpu(reason):
    pytest.skip(reason)

def test_that_runs(): ...
"""


def run(folder: Path, ci: str, *options: str, **files: str) -> subprocess.CompletedProcess[str]:
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text)
    words = [sys.executable, "-m", "pytest", "-p", "tests.skips", "-p", "no:cacheprovider", *options]
    words += ["--rootdir", folder, folder]
    environment = {**os.environ, "CI": ci, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("options", [[], ["-n", "2"]], ids=["one process", "several"])
def test_a_skip_fails_the_run_in_ci_and_is_named(tmp_path, options):
    done = run(tmp_path, "true", *options, few=SKIPS, file=WHOLE_FILE, gpu=ALLOWED)
    assert done.returncode == 1, done.stdout
    named = done.stdout.partition("skipped, which CI does not allow")[2]
    tests = [
        "test_few.py::test_in_the_test",
        "test_few.py::test_by_a_mark",
        "test_few.py::test_by_a_fixture",
        "test_file.py",
    ]
    for test in tests:
        assert named.count(f"{test}: no peer\n") == 1
    assert "test_gpu" not in named


@pytest.mark.parametrize(("ci", "options", "files"), [
    ("", [], {"few": SKIPS, "gpu": ALLOWED}), ("true", [], {"gpu": ALLOWED}), ("true", ["-n", "2"], {"gpu": ALLOWED}),
])  # fmt: skip
def test_a_skip_is_only_reported_elsewhere_and_so_is_the_want_of_a_gpu(tmp_path, ci, options, files):
    done = run(tmp_path, ci, *options, **files)
    assert done.returncode == 0, done.stdout
    assert "does not allow" not in done.stdout
    assert "Error" not in done.stdout + done.stderr
