"""What a run does on bad days: one clear sentence, exit code 2, and nothing lost."""

import fcntl
import json
import re
import shutil

import pytest

from scratchgrad.backend import cuda_is_available
from scratchgrad.tools.runs import checkpoints
from tests.jobs import rows_without_time

pytestmark = pytest.mark.mpi
slow = pytest.mark.slow


def refused(job) -> str:
    """What a job says that ends by the user's mistake: once, whatever the number of ranks, and without a traceback."""
    assert job.end() == 2, job.output
    assert "Traceback" not in job.output
    assert job.output.count("Error: ") == 1, job.output
    return job.output


def trained(start, recipe, *overrides):
    job = start("scratchgrad-train", recipe, "log.run_dir=run", *overrides)
    assert job.end() == 0, job.output


MISTAKES = [  # found in the recipe, in the text, with the device, by the rank that makes the run, with the tokenizer
    ("train.stepz=4", "train.stepz is not a known key; did you mean train.steps?"),
    ("data.files=[nothing/*.txt]", "no file matches 'nothing/*.txt'"),
    ("log.run_dir=tiny.yaml/run", "Not a directory"),
    ("train.context=100000", "the training text has"),
    ("train.device=cuda", "device 'cuda'"),
    ("data.cache_dir=tiny.yaml/data", "data.cache_dir 'tiny.yaml/data' cannot be written"),
    ("model.vocab_size=77", "model.vocab_size = 77, but the tokenizer has 300 tokens"),
]


@pytest.mark.parametrize(("override", "words", "ranks"), [
    *((*mistake, 4) for mistake in MISTAKES[:3]),
    *((*mistake, None) for mistake in MISTAKES[3:]),
    *(pytest.param(*mistake, None, marks=slow) for mistake in MISTAKES[:3]),
    *(pytest.param(*mistake, 4, marks=slow) for mistake in MISTAKES[3:]),
])  # fmt: skip
def test_a_mistake_is_told_once_on_any_number_of_ranks(start, recipe, override, words, ranks):
    if "device" in override and cuda_is_available():
        pytest.skip("there is a GPU here")
    assert words in refused(start("scratchgrad-train", recipe, override, ranks=ranks))


def test_more_ranks_than_microbatches(start, recipe):
    words = "4 ranks are more than train.microbatches = 2"
    assert words in refused(start("scratchgrad-train", recipe, "train.microbatches=2", ranks=4))


@pytest.mark.parametrize(("name", "content", "words"), [
    ("a.txt", b"", "'text/a.txt' is empty"),
    ("a.txt", b"abc\0def", "'text/a.txt' is binary: it has a zero byte at 3"),
    ("a.txt", b"abc\xff", "'text/a.txt' is not UTF-8: byte 3 is 0xff"),
])  # fmt: skip
def test_text_that_is_none(tmp_path, start, recipe, name, content, words):
    (tmp_path / "text" / name).write_bytes(content)
    assert words in refused(start("scratchgrad-train", recipe))


def test_a_run_directory_that_holds_a_run_is_not_written_over(tmp_path, start, recipe, trained_run):
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    said = refused(start("scratchgrad-train", recipe, "log.run_dir=run", ranks=2))
    assert "'run' holds a run already: go on with it by scratchgrad-train --resume run" in said
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_a_run_is_trained_by_one_job_at_a_time(start, recipe):
    job = start("scratchgrad-train", recipe, "train.steps=1000000", "log.run_dir=run", ranks=2)
    job.wait_for("step 20/")
    assert "'run' is being trained by another job" in refused(start("scratchgrad-train", "--resume", "run", ranks=2))
    assert job.process.poll() is None


def test_of_two_jobs_that_begin_in_one_folder_the_second_writes_nothing(tmp_path, start, recipe):
    """Whoever comes second has been told by the lock before its first write, at whatever moment it comes."""
    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / ".lock").open("w") as lock:  # the other job, which has not written its recipe yet
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = refused(start("scratchgrad-train", recipe, "log.run_dir=run"))
    assert "'run' is being trained by another job" in said
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]


def altered(folder):
    path = folder / "optimizer.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def truncated(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def exchanged(folder, link=None):
    shutil.rmtree(folder)
    folder.write_bytes(b"") if link is None else folder.symlink_to(link)


@pytest.mark.parametrize(("damage", "words"), [
    (altered, "'optimizer.safetensors' was altered"),
    (exchanged, "manifest.json' cannot be read: Not a directory"),
    pytest.param(lambda folder: exchanged(folder, "nowhere"), "has no manifest.json", marks=slow),
    pytest.param(truncated, "'model.safetensors' has", marks=slow),
    pytest.param(lambda folder: (folder / "trainer.json").unlink(), "'trainer.json' is missing", marks=slow),
    (lambda folder: (folder / "manifest.json").unlink(), "has no manifest.json"),
])  # fmt: skip
def test_a_damaged_checkpoint_is_refused_and_the_one_before_it_offered(
    tmp_path, start, recipe, trained_run, damage, words
):
    whole = rows_without_time(tmp_path / "run")
    assert [step for step, _ in checkpoints(tmp_path / "run")] == [50, 60]
    damage(tmp_path / "run" / "checkpoints" / "step-60")
    said = refused(start("scratchgrad-train", "--resume", "run", ranks=2))
    assert words in said
    offer = "scratchgrad-train --resume run --checkpoint step-50"
    assert offer in said
    job = start(*offer.split(), ranks=2)
    assert job.end() == 0, job.output
    assert rows_without_time(tmp_path / "run") == whole


def test_checkpoints_that_are_links_are_gone_on_from_and_pruned_as_links(tmp_path, start, recipe, trained_run):
    """As of one who moved them to a larger disk. What they lead to stays."""
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for folder in list((trained_run / "checkpoints").iterdir()):
        folder.rename(moved / folder.name)
        folder.symlink_to(moved / folder.name)
    (trained_run / "checkpoints" / ".tmp-removed-step-40").symlink_to(moved)  # what an older version left behind
    (trained_run / "checkpoints" / "step-70").symlink_to("nowhere")
    words = ["scratchgrad-train", "--resume", "run", "train.steps=80", "--checkpoint", "step-60"]
    job = start(*words)
    assert job.end() == 0, job.output
    assert sorted(path.name for path in (trained_run / "checkpoints").iterdir()) == ["step-70", "step-80"]
    assert sorted(path.name for path in moved.iterdir()) == ["step-50", "step-60"]
    assert (moved / "step-60" / "manifest.json").is_file()


def test_a_recipe_that_is_not_what_the_run_wrote_is_told_with_its_copy(tmp_path, start, recipe, trained_run):
    path = trained_run / "recipe.yaml"
    whole = path.read_bytes()
    for damage in (whole.replace(b"warmup_steps: 5", b"warmup_steps: 9"), whole[:-40], whole + b"x: 1\n"):
        assert damage != whole
        path.write_bytes(damage)
        said = refused(start("scratchgrad-train", "--resume", "run", "train.steps=61"))
        assert "'run/recipe.yaml' is not what the run wrote; to go on as before: cp " in said
    path.unlink()
    said = refused(start("scratchgrad-train", "--resume", "run", "train.steps=61"))
    assert "'run' is not a run: it has no recipe.yaml; to go on as before: cp " in said
    copy = re.search(r"cp (\S+) (\S+)", said)
    assert copy is not None
    shutil.copy(tmp_path / copy[1], tmp_path / copy[2])
    job = start("scratchgrad-train", "--resume", "run", "train.steps=61")
    assert job.end() == 0, job.output


def test_rows_of_metrics_that_were_altered_are_told_and_the_run_goes_on(tmp_path, start, recipe, trained_run):
    path = trained_run / "metrics.jsonl"
    before = path.read_text()
    path.write_text(re.sub('"step": 7, (.*)"loss": .', r'"step": 7, \1"loss": 9', before))
    assert len(path.read_text()) == len(before) != path.read_text().count(before)
    job = start("scratchgrad-train", "--resume", "run", "train.steps=61")
    assert job.end() == 0, job.output
    assert "warning: 'run/metrics.jsonl' was altered: its rows up to step 60 are not what the run wrote" in job.output
    job = start("scratchgrad-train", "--resume", "run", "train.steps=62")
    assert job.end() == 0, job.output
    assert "warning: 'run/metrics.jsonl'" not in job.output


def endless(start, recipe, *overrides, ranks=None):
    job = start("scratchgrad-train", recipe, "train.steps=1000000", "log.run_dir=run", *overrides, ranks=ranks)
    job.wait_for("step 20/")
    return job


@pytest.mark.parametrize("ranks", [None, pytest.param(2, marks=slow)])
def test_a_run_folder_that_is_removed_is_told(tmp_path, start, recipe, ranks):
    job = endless(start, recipe, ranks=ranks)
    (tmp_path / "run").rename(tmp_path / "gone")
    assert "the run's folder 'run' is gone: it was removed or renamed while the run went on" in refused(job)
    assert checkpoints(tmp_path / "gone")


@pytest.mark.parametrize("ranks", [None, pytest.param(2, marks=slow)])
def test_damage_to_metrics_and_recipe_while_a_run_goes_on_does_not_stop_its_checkpoint(tmp_path, start, recipe, ranks):
    job = endless(start, recipe, "checkpoint.every_steps=1000000", ranks=ranks)
    run = tmp_path / "run"
    (run / "recipe.yaml").unlink()
    (run / "metrics.jsonl").unlink()
    (run / "metrics.jsonl").mkdir()
    said = refused(job)
    assert "'run/metrics.jsonl' could not be written: Is a directory; the checkpoints so far are whole" in said
    ((step, folder),) = checkpoints(run)
    assert step > 20
    shutil.copy(folder / "training_recipe.yaml", run / "recipe.yaml")
    job = start("scratchgrad-train", "--resume", "run", f"train.steps={step + 1}", "train.schedule=constant")
    assert job.end() in (0, 2), job.output
    assert "Traceback" not in job.output


FEW_FILES = """
import resource, sys
limit = int(sys.argv[1])
sys.argv = ["scratchgrad-train", *sys.argv[2:]]
from scratchgrad.train.commands.train import main
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
main()
"""


@pytest.mark.parametrize("limit", [6, 10, pytest.param(8, marks=slow), pytest.param(12, marks=slow)])
def test_too_few_open_files_are_told_with_the_remedy(start, recipe, limit):
    said = refused(start(FEW_FILES, limit, recipe))
    assert f"no more files can be opened: the limit is {limit} at once; raise it, as by: ulimit -n 4096" in said


def test_where_no_checkpoint_is_left_one_starts_anew(tmp_path, start, recipe, trained_run):
    shutil.rmtree(trained_run / "checkpoints" / "step-50")
    truncated(tmp_path / "run" / "checkpoints" / "step-60")
    assert "there is none before it: start a new run" in refused(start("scratchgrad-train", "--resume", "run"))
    assert "has no checkpoint 'step-7'" in refused(
        start("scratchgrad-train", "--resume", "run", "--checkpoint", "step-7")
    )


def test_resume_without_a_run(tmp_path, start):
    assert "there is no run in 'runs'" in refused(start("scratchgrad-train", "--resume"))
    assert "'nowhere' does not exist" in refused(start("scratchgrad-train", "--resume", "nowhere"))
    (tmp_path / "other").mkdir()
    assert "'other' is not a run: it has no recipe.yaml" in refused(start("scratchgrad-train", "--resume", "other"))
    assert "a recipe is missing" in refused(start("scratchgrad-train"))


def test_a_run_goes_on_with_what_it_began_with_and_for_longer_if_asked(tmp_path, start, recipe):
    trained(start, recipe, "train.steps=30", "train.schedule=constant")
    assert "train.batch_size: a run goes on" in refused(
        start("scratchgrad-train", "--resume", "run", "train.batch_size=16")
    )
    job = start("scratchgrad-train", "--resume", "run", "train.steps=40")
    assert job.end() == 0, job.output
    assert [row["step"] for row in rows_without_time(tmp_path / "run")] == list(range(1, 41))
    assert "steps: 40" in (tmp_path / "run" / "recipe.yaml").read_text()


FULL_DISK = """
import resource, sys
from mpi4py import MPI  # makes its shared memory first, which the limit would stop as well
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.argv = ["scratchgrad-train", *sys.argv[2:]]
from scratchgrad.train.commands.train import main
main()
"""


@pytest.mark.parametrize(("limit", "path"), [
    (90_000, "checkpoints/.tmp-step-40"), pytest.param(7_000, "run", marks=slow),
])  # fmt: skip
def test_a_disk_that_fills_up_costs_what_had_no_room_and_nothing_else(tmp_path, start, recipe, limit, path):
    """Files can grow to `limit` bytes: too few for a checkpoint, or even for the metrics."""
    trained(start, recipe, "train.steps=30")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run" / "checkpoints" / "step-30").iterdir()}
    assert max(map(len, before.values())) > 90_000
    said = refused(start(FULL_DISK, limit, "--resume", "run", "train.steps=60", ranks=2))
    assert path in said
    assert "could not be written: File too large; the checkpoints so far are whole" in said
    assert [step for step, _ in checkpoints(tmp_path / "run")] == [20, 30]
    after = {path.name: path.read_bytes() for path in (tmp_path / "run" / "checkpoints" / "step-30").iterdir()}
    assert after == before
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == ["step-20", "step-30"]
    job = start("scratchgrad-train", "--resume", "run", "train.steps=60", ranks=2)
    assert job.end() == 0, job.output
    assert [row["step"] for row in rows_without_time(tmp_path / "run")] == list(range(1, 61))


@pytest.mark.parametrize("ranks", [4, pytest.param(None, marks=slow)])
def test_a_loss_that_is_no_number_stops_the_run_before_the_optimizer_sees_it(tmp_path, start, recipe, ranks):
    said = refused(start(
        "scratchgrad-train", recipe, "log.run_dir=run", "train.learning_rate=1e30", "train.warmup_steps=0",
        "checkpoint.every_steps=1", "checkpoint.keep_last=9", ranks=ranks,
    ))  # fmt: skip
    assert re.search("(the loss of microbatch 0|the norm of the gradient) is (nan|inf); nothing was updated", said)
    assert "train.learning_rate" in said
    assert "Warning" not in said
    steps = [row["step"] for row in rows_without_time(tmp_path / "run")]
    assert f"step {steps[-1] + 1}: the " in said
    assert [step for step, _ in checkpoints(tmp_path / "run")] == steps


def test_early_stopping_ends_a_run_and_a_resumed_one_stays_ended(tmp_path, start, recipe):
    trained(start, recipe, "train.eval_every=2", "train.patience=2", "train.learning_rate=0.3", "train.steps=500")
    rows = rows_without_time(tmp_path / "run")
    losses = [row["val_loss"] for row in rows if "val_loss" in row]
    assert len(rows) < 500
    assert min(losses) == losses[-3]
    assert "val_bpb" in rows[-1], "a final evaluation is always written last"
    assert checkpoints(tmp_path / "run")[-1][0] == rows[-1]["step"]
    job = start("scratchgrad-train", "--resume", "run")
    assert job.end() == 0, job.output
    assert rows_without_time(tmp_path / "run") == rows


def test_the_run_directory_holds_what_it_should(tmp_path, start, recipe):
    job = start("scratchgrad-train", recipe, "train.steps=25", "checkpoint.keep_last=1", ranks=2)
    assert job.end() == 0, job.output
    run = tmp_path / "runs" / "tiny-001"
    assert "run runs/tiny-001\nloss plot runs/tiny-001/loss.png" in job.output
    assert sorted(path.name for path in run.iterdir()) == [
        ".lock",
        "checkpoints",
        "loss.png",
        "metrics.jsonl",
        "recipe.yaml",
    ]
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    always = {"step", "tokens", "loss", "learning_rate", "grad_norm", "tokens_per_s"}
    assert all(row.keys() == always | ({"val_loss", "val_bpb"} if row["step"] in (20, 25) else set()) for row in rows)
    assert rows[-1]["tokens"] == 25 * 8 * 32
    assert (run / "loss.png").read_bytes().startswith(b"\x89PNG")
    newest = checkpoints(run)[-1][1]
    assert sorted(path.name for path in newest.iterdir()) == [
        "config.json", "generation_config.json", "manifest.json", "model.safetensors", "optimizer.safetensors",
        "tokenizer.json", "tokenizer_config.json", "trainer.json", "training_recipe.yaml",
    ]  # fmt: skip
    job = start("scratchgrad-train", recipe, "train.steps=5")
    assert job.end() == 0, job.output
    assert (tmp_path / "runs" / "tiny-002").is_dir()
    shutil.rmtree(tmp_path / "runs" / "tiny-002")
    job = start("scratchgrad-sample", "--max-tokens", 5)
    assert job.end() == 0
    assert "sampling from runs/tiny-001/checkpoints/step-25" in job.output


def test_checkpoints_by_the_clock(tmp_path, start, recipe):
    trained(start, recipe, "checkpoint.every_steps=null", "checkpoint.every_minutes=0.0005", "checkpoint.keep_last=100")
    assert len(checkpoints(tmp_path / "run")) > 3


def test_the_best_checkpoint_is_kept(tmp_path, start, recipe):
    trained(
        start,
        recipe,
        "train.learning_rate=0.5",
        "train.schedule=constant",
        "train.eval_every=10",
        "checkpoint.keep_last=1",
    )
    rows = [row for row in rows_without_time(tmp_path / "run") if "val_loss" in row]
    best = min(rows, key=lambda row: row["val_loss"])["step"]
    assert best < 60
    assert [step for step, _ in checkpoints(tmp_path / "run")] == [best, 60]


@pytest.mark.parametrize("ranks", [None, 2])
def test_a_dry_run_tells_what_it_will_cost_and_writes_no_run(tmp_path, start, recipe, ranks):
    job = start("scratchgrad-train", recipe, "--dry-run", ranks=ranks)
    assert job.end() == 0, job.output
    for words in (
        "parameters          32,864",
        "training text",
        "tokens of the run   15,360",
        "memory of a rank",
        "time of the run",
    ):
        assert job.output.count(words) == 1
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["data"]


def test_the_printed_recipe_is_a_recipe(tmp_path, start, recipe):
    job = start("scratchgrad-train", recipe, "train.steps=41", "--print-recipe", ranks=2)
    assert job.end() == 0, job.output
    assert job.output.count("steps: 41") == 1
    (tmp_path / "printed.yaml").write_text(job.output)
    again = start("scratchgrad-train", "printed.yaml", "--print-recipe")
    assert again.end() == 0
    assert again.output == job.output


@pytest.mark.gpu
@pytest.mark.parametrize("ranks", [None, 2])
def test_a_run_on_a_gpu_learns_as_on_the_cpu(tmp_path, start, recipe, gpu, ranks):
    trained(start, recipe)
    job = start("scratchgrad-train", recipe, "log.run_dir=gpu", f"train.device={gpu}", ranks=ranks)
    assert job.end() == 0, job.output
    for ours, wanted in zip(rows_without_time(tmp_path / "gpu"), rows_without_time(tmp_path / "run"), strict=True):
        assert ours["loss"] == pytest.approx(wanted["loss"], rel=0.01)
