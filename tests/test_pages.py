"""The pages for newcomers run, block after block."""

import re
from pathlib import Path

import pytest

from scratchgrad.operators import OPS

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("page", ["from-pytorch"])
def test_the_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before, here = dict(OPS), {"__name__": page}
    blocks = re.findall(r"^```python\n(.*?)^```$", (DOCS / f"{page}.md").read_text(), re.DOTALL | re.MULTILINE)
    assert blocks
    try:
        for block in blocks:
            exec(compile(block, tmp_path / f"{page}.py", "exec"), here)
    finally:
        OPS.clear()
        OPS.update(before)
