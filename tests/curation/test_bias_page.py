"""docs/curation-bias.md runs, block after block."""

import pytest

pytest.importorskip("zstandard", reason="the extra curate is not installed")
pytest.importorskip("pyarrow", reason="the extra curate is not installed")

import shlex
from pathlib import Path

from scratchgrad.tools.curation.recipe import load_recipe
from scratchgrad.tools.recipes import parse
from scratchgrad.tools.text import build_source
from scratchgrad.train.data_recipe import DataRecipe
from tests.pages import blocks, printed, with_output

PAGE = "docs/curation-bias.md"


def test_the_page_runs(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    kinds = []
    for block, shown in with_output(blocks(PAGE)):
        kinds.append(block.language)
        if block.file:
            (tmp_path / block.file).write_text(block.text)
        elif block.language == "python":
            assert printed(block.text, tmp_path / "page.py", names) == shown
        elif block.language == "sh":
            done = call(*shlex.split(block.text))
            assert done.returncode == 0, done.stderr
        else:
            (tmp_path / "training.yaml").write_text(block.text)
    assert {"python", "sh", "yaml"} <= {*kinds}
    assert load_recipe("bias.yaml").word_list.spared == ["heck"]


def test_the_training_recipe_reads_sources_apart(tmp_path, call, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("web", "books"):
        Path(f"{name}.jsonl").write_text("".join(f'{{"text": "{name} {n}"}}\n' for n in range(4)))
    Path("r.yaml").write_text(
        "data: {sources: [{name: web, source: files, files: [web.jsonl]}, {name: books, source: files, files: [books.jsonl]}]}\n"
        "curate: {steps: [mixture]}\nmixture: {weights: {web: 0.7, books: 0.3}}\n"
    )
    done = call("scratchgrad-curate", "r.yaml", "--out", "runs/mixed", "--workers", "1")
    assert done.returncode == 0, done.stderr
    texts = [example.text() for example in build_source("curated", folder="runs/mixed", only="web").examples()]
    assert texts == [f"web {n}" for n in range(4)]
    (block,) = [block for block in blocks(PAGE) if "only: web" in block.text]
    recipe = DataRecipe(**parse(block.text)["data"])
    assert [source.weight for source in recipe.sources] == [0.7, 0.3]
    assert [source.build().only for source in recipe.sources] == ["web", "books"]
