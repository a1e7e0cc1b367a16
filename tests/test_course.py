"""The course runs: every block of every page, the exercises as they are printed (and must fail), and the solutions."""

import subprocess
import sysconfig

import pytest

from tests.pages import ROOT, Block, blocks, printed, with_output

PAGES = sorted(path.stem for path in (ROOT / "docs" / "course").glob("[0-9]*.md"))


def blocks_of(page: str) -> list[Block]:
    return blocks(f"docs/course/{page}.md")


SOLUTIONS = {block.title: block.text for block in blocks_of("solutions")}


pytestmark = pytest.mark.usefixtures("no_op_stays_registered")


def test_every_page_has_an_exercise_with_a_check_and_a_solution():
    assert len(PAGES) == 7
    assert set(SOLUTIONS) == set(PAGES)
    for page in PAGES:
        assert [title for _, title, _ in blocks_of(page) if title not in ("", "output")] == ["exercise", "check"]


@pytest.mark.parametrize("page", PAGES)
def test_the_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", sysconfig.get_path("scripts"), prepend=":")
    here = {"__name__": page}
    file = tmp_path / f"{page}.py"  # ops are asked for their source
    for (language, title, text), shown in with_output(blocks_of(page)):
        if language == "sh":
            ran = subprocess.run(["sh", "-ec", text], capture_output=True, text=True, timeout=300)
            assert ran.returncode == 0, ran.stderr
        elif title == "check":
            with pytest.raises(AssertionError):  # GradcheckError is one
                printed(text, file, here)
            printed(SOLUTIONS[page], file, here)
            printed(text, file, here)
        else:
            assert printed(text, file, here) == shown
