"""The pages for newcomers run, block after block."""

import pytest

from scratchgrad.operators import OPS
from tests.pages import blocks, printed, with_output


@pytest.mark.parametrize("page", ["from-pytorch"])
def test_the_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before, here = dict(OPS), {"__name__": page}
    codes = [
        (block.text, shown) for block, shown in with_output(blocks(f"docs/{page}.md")) if block.language == "python"
    ]
    assert codes
    try:
        for code, shown in codes:
            assert printed(code, tmp_path / f"{page}.py", here) == shown
    finally:
        OPS.clear()
        OPS.update(before)
