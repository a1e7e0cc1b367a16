"""The pages for newcomers run, block after block."""

import pytest

from scratchgrad.operators import OPS
from tests.pages import blocks


@pytest.mark.parametrize("page", ["from-pytorch"])
def test_the_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before, here = dict(OPS), {"__name__": page}
    codes = [block.text for block in blocks(f"docs/{page}.md") if block.language == "python"]
    assert codes
    try:
        for code in codes:
            exec(compile(code, tmp_path / f"{page}.py", "exec"), here)
    finally:
        OPS.clear()
        OPS.update(before)
