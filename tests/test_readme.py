"""What README shows is true: its Python runs, its recipe is one, its commands exist with the options it gives them."""

import re
import shlex
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests import pages

README = (pages.ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return [block.text for block in pages.blocks("README.md") if block.language == language]


COMMANDS = sorted({
    line.split("#")[0].split(" < ")[0].split(" | ")[0].strip()
    for block in blocks("sh")
    for line in block.splitlines()
    if "scratchgrad-" in line
} | set(re.findall(r"`(scratchgrad-[^`]+)`", README)))  # fmt: skip


def run(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(("block", "shown"), pages.with_output(pages.blocks("README.md")))
def test_the_python_runs_and_prints_what_is_shown(block, shown, tmp_path):
    if block.language == "python":
        ran = run(sys.executable, "-W", "error", "-c", block.text, folder=tmp_path)
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout == shown


def test_the_property_is_no_victim_of_a_slow_machine(tmp_path):
    """Hypothesis parses our sources once, and calls drawing too slow when that counts as drawing."""
    (code,) = (code for code in blocks("python") if "from hypothesis" in code)
    slow = """
import ast, time
def parse(*arguments, of=ast.parse, **options):
    time.sleep(0.02)
    return of(*arguments, **options)
ast.parse = parse
from hypothesis import settings
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")
"""
    ran = run(sys.executable, "-W", "error", "-c", slow + code, folder=tmp_path)
    assert ran.returncode == 0, ran.stderr


def test_the_recipe_is_one(tmp_path):
    (tmp_path / "novel.yaml").write_text(blocks("yaml")[0])
    ran = run(Path(sysconfig.get_path("scripts"), "scratchgrad-train"), "novel.yaml", "--print-recipe", folder=tmp_path)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_the_options_exist(command, call):
    words = shlex.split(command[command.index("scratchgrad-") :])
    described = call(words[0], *[word for word in words[1:2] if re.fullmatch("[a-z]+", word)], "--help")
    assert described.returncode == 0, described.stderr
    for word in words[1:]:
        if word.startswith("--"):
            assert re.search(rf"{word}\b", described.stdout.decode()), f"{command}: no {word}"


def test_the_error_is_what_is_said(tmp_path):
    shown = re.search(r"\$ (scratchgrad-train \S+ \S+)\n(Error: .*)\n", README)
    program, *arguments = shown[1].split()
    ran = run(Path(sysconfig.get_path("scripts"), program), *arguments, folder=tmp_path)
    assert ran.returncode == 2
    assert ran.stderr.strip() == shown[2]


def test_the_commands_are_on_the_path_after_what_it_says(tmp_path):
    """In `.venv`, where the Makefile puts them; without it, a shell does not find them."""
    (said,) = set(re.findall(r"`(source [^`]+)`", README))
    makefile = (pages.ROOT / "Makefile").read_text()
    assert "BIN := .venv/bin\n" in makefile
    assert f"{said}\\n" in makefile
    venv.create(tmp_path / ".venv")
    for script in Path(sysconfig.get_path("scripts")).glob("scratchgrad-*"):
        (tmp_path / ".venv" / "bin" / script.name).symlink_to(script)
    for before, code in ((":", 127), (said, 0)):
        words = ("env", "PATH=/usr/bin:/bin", "bash", "-c", f"{before} && scratchgrad-sample --version")
        assert run(*words, folder=tmp_path).returncode == code
