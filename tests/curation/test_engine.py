"""A curation gives the same bytes for any number of workers and ranks, and after any kill; and it says what happened."""

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("zstandard", reason="the extra curate is not installed")
pytest.importorskip("pyarrow", reason="the extra curate is not installed")

import contextlib

from scratchgrad.errors import UserError
from scratchgrad.tools.curation.engine import curate
from scratchgrad.tools.curation.explain import explain
from scratchgrad.tools.curation.pool import ProcessPool
from scratchgrad.tools.curation.recipe import Recipe, load_recipe, to_yaml
from scratchgrad.tools.curation.shards import read_documents
from tests.jobs import descendants

STEPS = ["unicode", "privacy", "gopher_quality", "exact_dedup", "minhash_dedup"]
ABOUT_THE_RUN = {"times.json", "report.html"}  # what a clock says is not of the outcome


def texts(number: int) -> list[str]:
    """Some to keep, some too short, some twice, some nearly twice, one with an address."""
    rng = random.Random(number)
    words = [
        "the",
        "of",
        "and",
        "to",
        "that",
        "with",
        "be",
        "have",
        "river",
        "stone",
        "green",
        "light",
        "under",
        "walks",
        "slowly",
        "between",
        "houses",
        "every",
        "morning",
    ]

    def text(length: int) -> str:
        return " ".join(rng.choices(words, k=length)) + "."

    kept = [text(rng.randrange(60, 200)) for _ in range(20)]
    near = [text.replace("river", "road", 1) for text in kept[:3]]
    return [*kept, *kept[3:6], *near, *(text(5) for _ in range(4)), f"{text(80)} Write to someone@example.com now."]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    folder = tmp_path_factory.mktemp("raw")
    for number in range(6):
        lines = [json.dumps({"text": text, "url": f"http://{number}.org"}) for text in texts(number // 2)]
        (folder / f"{number}.jsonl").write_text("\n".join([*lines[:5], "{broken", *lines[5:]]) + "\n")
    path = folder / "recipe.yaml"
    path.write_text(
        f"data: {{source: files, files: [{folder}/*.jsonl]}}\ncurate: {{steps: {STEPS}, unit_bytes: 20000}}\n"
    )
    return load_recipe(str(path))


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in ABOUT_THE_RUN]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def finished(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "out"
    curate(recipe, out, ProcessPool(1))
    return out


def kept(out: Path) -> list[str]:
    return [document.text for part in sorted((out / "documents").iterdir()) for document in read_documents(part)]


def test_what_is_left(recipe, finished):
    left = kept(finished)
    assert len(left) == len(set(left)) == 3 * 21  # three different sets of texts, of which each was there twice
    assert not [text for text in left if "example.com" in text or len(text.split()) < 50]
    assert sum("<EMAIL-" in text for text in left) == 3
    summary = json.loads((finished / "summary.json").read_text())
    (group,) = summary["groups"]
    read = group["read"]["files"]
    dropped = sum(rule["dropped"]["files"].get("documents", 0) for rule in group["rules"])
    deduplicated = {step["step"]: step["dropped"]["files"]["documents"] for step in group["corpus_steps"]}
    assert (read["documents"], read["skipped"], dropped) == (6 * 31, 6, 6 * 4)
    assert deduplicated == {"exact_dedup": 3 * (26 + 1 + 3) + 3 * 0, "minhash_dedup": 3 * 3}
    assert (
        read["documents"] - dropped - sum(deduplicated.values()) == summary["kept"]["files"]["documents"] == len(left)
    )
    manifest = json.loads((finished / "manifest.json").read_text())
    assert [Path(file["path"]).name for file in manifest["inputs"]] == [f"{number}.jsonl" for number in range(6)]


@pytest.mark.parametrize("workers", [2, 3, 7])
def test_any_number_of_workers_gives_the_same_bytes(recipe, finished, tmp_path, workers):
    curate(recipe, tmp_path / "out", ProcessPool(workers))
    assert contents(tmp_path / "out") == contents(finished)


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_any_number_of_ranks_gives_the_same_bytes(recipe, finished, tmp_path, start, ranks):
    (tmp_path / "recipe.yaml").write_text(to_yaml(recipe))
    job = start("scratchgrad-curate", "recipe.yaml", "--out", "out", ranks=ranks)
    assert job.end() == 0, job.output
    assert contents(tmp_path / "out") == contents(finished)


def killed_until_it_is_done(start, tmp_path: Path, recipe: Recipe, seed: int, kills: int) -> int:
    """How often it was killed: all its processes, or only one, at random moments, and started again."""
    (tmp_path / "recipe.yaml").write_text(to_yaml(recipe))
    rng, done = random.Random(seed), 0
    while True:
        job = start("scratchgrad-curate", "recipe.yaml", "--out", "out", "--workers", 2)
        if done < kills:
            time.sleep(rng.uniform(0.0, 3.0))
            workers = descendants(job.process.pid)
            if job.process.poll() is None and workers and rng.random() < 0.5:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(rng.choice(workers), signal.SIGKILL)
                assert job.end() in (0, 2), job.output
                assert "Traceback" not in job.output
            else:
                job.kill()
            done += 1
        else:
            assert job.end() == 0, job.output
            return done


@pytest.mark.parametrize("seed", [0])
def test_killed_three_times_it_gives_the_same_bytes(recipe, finished, tmp_path, start, seed):
    killed_until_it_is_done(start, tmp_path, recipe, seed, 3)
    assert contents(tmp_path / "out") == contents(finished)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_killed_fifty_times_it_gives_the_same_bytes(recipe, finished, tmp_path, start, seed):
    killed_until_it_is_done(start, tmp_path, recipe, seed, 5)
    assert contents(tmp_path / "out") == contents(finished)


def test_what_is_done_is_not_done_again(recipe, finished):
    before = contents(finished)
    assert curate(recipe, finished, ProcessPool(2)) == json.loads((finished / "summary.json").read_text())
    assert contents(finished) == before


def test_a_kill_while_what_was_dropped_is_removed_loses_nothing(recipe, tmp_path, monkeypatch):
    """Two document stages: the second reads what the first left, which is work and removed at the end."""
    steps = ["gopher_quality", "exact_dedup", "privacy"]
    mine = recipe.model_copy(
        update={"curate": recipe.curate.model_copy(update={"steps": steps, "keep_dropped": False})}
    )
    curate(mine, tmp_path / "whole", ProcessPool(1))
    assert not list((tmp_path / "whole" / "stages").rglob("documents.jsonl.zst"))
    for moment in ("unlink", "rmdir"):
        with monkeypatch.context() as patch:
            patch.setattr(f"pathlib.Path.{moment}" if moment == "unlink" else "shutil.rmtree", _killed)
            with pytest.raises(KeyboardInterrupt):
                curate(mine, tmp_path / moment, ProcessPool(1))
        curate(mine, tmp_path / moment, ProcessPool(1))
        assert contents(tmp_path / moment) == contents(tmp_path / "whole")


def _killed(path, *args, **settings):
    raise KeyboardInterrupt


def test_another_recipe_in_the_same_folder_is_refused_with_the_difference(recipe, finished):
    other = recipe.model_copy(update={"gopher_quality": recipe.gopher_quality.model_copy(update={"min_words": 40})})
    with pytest.raises(UserError, match=r"was begun with gopher_quality.min_words = 50, not 40: take another --out"):
        curate(other, finished, ProcessPool(1))


def test_inputs_that_changed_on_the_way_are_refused(recipe, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\n')
    values = f"data: {{source: files, files: [{path}]}}\ncurate: {{steps: []}}\n"
    (tmp_path / "recipe.yaml").write_text(values)
    mine = load_recipe(str(tmp_path / "recipe.yaml"))
    curate(mine, tmp_path / "out", ProcessPool(1))
    (tmp_path / "out" / "manifest.json").unlink()  # as if it had been killed just before the end
    curate(mine, tmp_path / "out", ProcessPool(1))
    assert kept(tmp_path / "out") == ["one"]


def test_two_at_once_in_one_folder_are_refused(recipe, tmp_path):
    from scratchgrad.tools.curation.resuming import locked

    with locked(tmp_path / "out"), pytest.raises(UserError, match="another process is curating in"):
        curate(recipe, tmp_path / "out", ProcessPool(1))


def test_a_document_can_be_explained(recipe, finished):
    id = next(read_documents(finished / "documents" / "00000")).id
    told = list(explain(finished, id))
    assert told[0].startswith(f"{id} of source files; unit 00000, document ")
    assert [
        line
        for line in told
        if line.startswith("gopher_quality.words = ") and "(kept where >= 50 and <= 100000)" in line
    ]
    assert told[-1] == "kept: it is in documents/00000/documents.jsonl.zst"
    raw = json.loads((finished / "manifest.json").read_text())["inputs"][0]["path"]
    assert next(iter(explain(finished, f"{raw}:6"))).startswith(f"{raw}:6 was skipped: ")
    short = list(explain(finished, f"{raw}:30"))[-1]
    assert short.startswith("dropped by gopher_quality: ")
    assert list(explain(finished, f"{raw}:4"))[-1].startswith("dropped by exact_dedup: ")
    assert [line for line in explain(finished, f"{raw}:32") if line.startswith("privacy removed 's***m': email")]
    with pytest.raises(UserError, match="no document 'nowhere' was read"):
        list(explain(finished, "nowhere"))


def test_a_kill_before_the_report_leaves_it_to_the_next_start(recipe, finished, tmp_path, call):
    (tmp_path / "recipe.yaml").write_text(to_yaml(recipe))
    shutil.copytree(finished, tmp_path / "out")
    done = call("scratchgrad-curate", "recipe.yaml", "--out", "out")
    assert (done.returncode, done.stdout) == (0, b"out\n"), done.stderr
    assert "What was dropped, step by step" in (tmp_path / "out" / "report.html").read_text()
    assert contents(tmp_path / "out") == contents(finished)
