"""Whole runs against an index of what was curated before: it grows at the end of a run, once, by what is left."""

import json
import random

import pytest

pytest.importorskip("zstandard", reason="the extra curate is not installed")
pytest.importorskip("pyarrow", reason="the extra curate is not installed")

from scratchgrad.tools.curation import engine
from scratchgrad.tools.curation.engine import curate
from scratchgrad.tools.curation.pool import ProcessPool
from scratchgrad.tools.curation.recipe import load_recipe
from scratchgrad.tools.curation.shards import read_documents
from tests.curation.corpora import unsynced  # noqa: F401


def text(number: int, words: int = 120) -> str:
    rng = random.Random(number)
    return " ".join(f"word{rng.randrange(5000)}" for _ in range(words))


def recipe_of(folder, numbers, index, steps="[minhash_dedup, line_dedup]"):
    folder.mkdir()
    for number in numbers:
        (folder / f"{number}.jsonl").write_text(json.dumps({"text": f"{text(number)}\nthe same line"}) + "\n")
    path = folder / "recipe.yaml"
    path.write_text(
        f"data: {{source: files, files: ['{folder}/*.jsonl']}}\ncurate: {{steps: {steps}, unit_bytes: 2000}}\n"
        f"minhash_dedup: {{index: {json.dumps(index and str(index))}}}\n"
    )
    return load_recipe(str(path))


def kept(out):
    return {
        document.text.split("\n")[0]
        for part in (out / "documents").iterdir()
        if part.is_dir()
        for document in read_documents(part)
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_what_an_earlier_run_has_left_is_gone_from_the_next_one(tmp_path, workers):
    index, pool = tmp_path / "index", ProcessPool(workers)
    curate(recipe_of(tmp_path / "a", range(6), index), tmp_path / "1", pool)
    assert kept(tmp_path / "1") == {text(number) for number in range(6)}
    curate(recipe_of(tmp_path / "b", range(4, 9), index), tmp_path / "2", pool)
    assert kept(tmp_path / "2") == {text(number) for number in (6, 7, 8)}
    (report,) = (tmp_path / "2" / "stages").glob("*-minhash_dedup/report.json")
    assert json.loads(report.read_text())["index_documents"] == 6
    assert [json.loads((part / "part.json").read_text())["documents"] for part in sorted(index.glob("part-*"))] == [
        6,
        3,
    ]


def test_a_run_that_fails_later_on_adds_nothing_and_one_that_goes_on_adds_itself_once(tmp_path, monkeypatch):
    index, out, recipe = tmp_path / "index", tmp_path / "out", recipe_of(tmp_path / "a", range(3), tmp_path / "index")

    def fails(*_, **__):
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr("scratchgrad.tools.curation.steps.line_dedup.LineDedup.run", fails)
        with pytest.raises(RuntimeError):
            curate(recipe, out, ProcessPool(1))
    assert not list(index.glob("part-*"))
    with monkeypatch.context() as patch:
        patch.setattr(engine, "_finish", fails)
        with pytest.raises(RuntimeError):
            curate(recipe, out, ProcessPool(1))
    curate(recipe, out, ProcessPool(1))
    curate(recipe, out, ProcessPool(1))
    assert kept(out) == {text(number) for number in range(3)}
    assert len(list(index.glob("part-*"))) == 1


def test_a_run_that_is_killed_while_it_clears_up_goes_on(tmp_path, monkeypatch):
    """A part of a stage that was half removed was taken for whole."""
    recipe, rmtree = recipe_of(tmp_path / "a", range(3), None), engine.shutil.rmtree

    def half(folder, **_):
        if folder.exists():
            for path in folder.rglob("indices.npy"):
                path.unlink()
            if folder.name in ("listed", "2-minhash_dedup-gone"):
                raise RuntimeError("killed")
            rmtree(folder)

    with monkeypatch.context() as patch:
        patch.setattr(engine.shutil, "rmtree", half)
        with pytest.raises(RuntimeError):
            curate(recipe, tmp_path / "out", ProcessPool(1))
    curate(recipe, tmp_path / "out", ProcessPool(1))
    assert len(kept(tmp_path / "out")) == 3
