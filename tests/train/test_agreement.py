"""A run goes on with its own tokenizer and its own text, and ranks that do not do the same say so before a step."""

import os

import pytest

from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.runs import checkpoints
from tests.jobs import rows_without_time
from tests.train.test_bad_days import refused

pytestmark = pytest.mark.mpi
slow = pytest.mark.slow


def test_a_run_whose_text_has_changed_goes_on_only_if_asked_and_with_its_own_tokenizer(
    tmp_path, start, trained_run, recipe
):
    (_, last), tokenizer = checkpoints(trained_run)[-1], None
    tokenizer = tokenizers.load(last).fingerprint
    before = {path: path.read_bytes() for path in trained_run.rglob("*") if path.is_file()}
    for number in range(0, 40, 2):
        (tmp_path / "text" / f"{number:02d}.txt").write_text("quite different words of another time " * 40 + "\n")
    said = refused(start("scratchgrad-train", "--resume", "run", "train.steps=62"))
    assert "the text has changed, so that it gives another tokenizer than that which 'run' was trained with" in said
    assert {path: path.read_bytes() for path in before} == before
    offer = "scratchgrad-train --resume run --new-data"
    assert offer in said
    job = start(*offer.split(), "train.steps=62")
    assert job.end() == 0, job.output
    assert tokenizers.load(checkpoints(trained_run)[-1][1]).fingerprint == tokenizer
    assert rows_without_time(trained_run)[-1]["step"] == 62
    job = start("scratchgrad-train", "--resume", "run", "train.steps=63")  # asked for once is enough
    assert job.end() == 0, job.output
    assert tokenizers.load(checkpoints(trained_run)[-1][1]).fingerprint == tokenizer


def test_other_text_in_the_same_tokens_is_told_as_well(tmp_path, start, recipe):
    """With a tokenizer of one's own only the text decides."""
    short = ("train.steps=2", "log.run_dir=run", "tokenizer.path=given/tokenizer.json")
    (tmp_path / "given").mkdir()
    tokenizers.save(tokenizers.train_bpe(["the cat sat on the mat\n"] * 9, 270), tmp_path / "given")
    job = start("scratchgrad-train", recipe, *short)
    assert job.end() == 0, job.output
    text = tmp_path / "text" / "07.txt"
    text.write_text(text.read_text()[::-1])
    assert "the text has changed; it is not that" in refused(start("scratchgrad-train", "--resume", "run"))


def test_new_data_belongs_to_resume(call, recipe):
    said = call("scratchgrad-train", recipe, "--new-data")
    assert said.returncode == 2
    assert b"give --resume, too" in said.stderr


DIFFERENT = """
import os, sys
rank, what = int(os.environ["PMI_RANK"]), sys.argv[1]
from scratchgrad.train import agreement
arguments = ["tiny.yaml", "log.run_dir=run", "train.steps=2"]
if rank == 1 and what == "recipe":
    arguments += ["train.learning_rate=1e-4"]
if what == "data":
    arguments += ["tokenizer.path=" + os.path.abspath("given/tokenizer.json")]
if rank == 1 and what in ("data", "tokenizer"):
    os.chdir("elsewhere")
if rank == 1 and what == "code":
    agreement.code_fingerprint = lambda: "00" * 32
sys.argv = ["scratchgrad-train", *arguments]
from scratchgrad.train.commands.train import main
main()
"""


@pytest.mark.parametrize(
    "what", ["recipe", "data", pytest.param("code", marks=slow), pytest.param("tokenizer", marks=slow)]
)
def test_ranks_that_do_not_agree_are_told_before_the_first_step(tmp_path, start, recipe, what):
    if what == "data":  # the same tokenizer, whatever the text
        (tmp_path / "given").mkdir()
        tokenizers.save(tokenizers.train_bpe(["the cat sat on the mat\n"] * 9, 270), tmp_path / "given")
    if what in ("data", "tokenizer"):
        (tmp_path / "elsewhere" / "text").mkdir(parents=True)
        (tmp_path / "elsewhere" / "tiny.yaml").write_bytes((tmp_path / "tiny.yaml").read_bytes())
        for path in (tmp_path / "text").iterdir():
            (tmp_path / "elsewhere" / "text" / path.name).write_text(path.read_text()[::-1])
    said = refused(start(DIFFERENT, what, ranks=2))
    differs = "tokenizer and data" if what == "tokenizer" else what
    assert f"rank 1 has another {differs} than rank 0 (1 of 2 ranks differ)" in said
    assert not os.path.exists(tmp_path / "run")
