"""What a user installs is whole: the wheel alone, in an empty environment, used from another folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*words, **options):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE", "scratchgrad_start.py"):
        shutil.copy(ROOT / name, folder)
    for room in ("scratchgrad", "models", "tools", "train"):
        shutil.copytree(ROOT / room, folder / room, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, folder)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_every_file_of_the_four_rooms_their_start_and_nothing_else(wheel):
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = {"scratchgrad_start.py"}
    for room, inside in (("scratchgrad", ""), *((name, "scratchgrad/") for name in ("models", "tools", "train"))):
        for path in (ROOT / room).rglob("*"):  # rglob does not follow the links inside scratchgrad/
            if path.is_file() and "__pycache__" not in path.parts:
                wanted.add(inside + path.relative_to(ROOT).as_posix())
    assert held == wanted


@pytest.mark.slow
def test_the_wheel_trains_in_an_empty_environment_from_another_folder(wheel, tmp_path):
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    scripts = tmp_path / "venv" / "bin"
    run(scripts / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel, env=environment)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    said = run(scripts / "scratchgrad-train", "--dry-run", "toy.yaml", cwd=elsewhere, env=environment)
    assert "parameters          1,066,112\n" in said
    where = "import scratchgrad.train; print(scratchgrad.train.__file__)"
    assert str(tmp_path / "venv") in run(scripts / "python", "-c", where, cwd=elsewhere, env=environment)
