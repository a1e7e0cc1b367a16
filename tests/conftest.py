"""What every test may ask for."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import settings

from scratchgrad import manual_seed, models
from scratchgrad.backend import cuda_is_available
from scratchgrad.operators import OPS
from scratchgrad.threads import set_threads, threads
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.tokenizer import train_bpe
from scratchgrad_start import COMMANDS
from tests.jobs import MPIRUN, SCRIPTS, Job

Start = Callable[..., Job]

# Peers compute on one thread, too: `make test` runs a process for each core, and their threads would fight.
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["tests.skips", "tests.sharing"]

settings.register_profile("ci", derandomize=True, deadline=None, database=None, print_blob=True)
settings.register_profile("fuzz", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("SCRATCHGRAD_HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """What a test computes by itself it computes on one thread: it has helpers only where it asks for them."""
    if threads() != 1:
        set_threads(1)


@pytest.fixture
def two_threads(_one_thread: None) -> Iterator[None]:
    """For tests of what may differ between threads."""
    set_threads(2)
    yield
    set_threads(1)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Real text, vocabularies and checkpoints that are not part of the repository."""
    where = os.environ.get("SCRATCHGRAD_TEST_DATA")
    if not where:
        pytest.skip("SCRATCHGRAD_TEST_DATA is not set: no folder of real data to read")
    return Path(where)


@pytest.fixture(scope="session")
def gpu() -> str:
    """The name of the device, where there is one."""
    pytest.importorskip("cupy", reason="CuPy is not installed")
    if not cuda_is_available():
        pytest.skip("CuPy finds no GPU with a driver here")
    return "cuda"


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory as a checkpoint is one: a small Llama of fresh weights, with its tokenizer."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer = train_bpe(["the cat sat on the mat, and the dog sat on the log. 🙂\n"] * 9, 300)
    config = {
        "model_type": "llama", "vocab_size": tokenizer.vocab_size, "hidden_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 64,
    }  # fmt: skip
    manual_seed(0)
    end = tokenizer.end_of_text
    models.save(models.build(models.config_from_dict(config)), folder, {"bos_token_id": end, "eos_token_id": end})
    tokenizers.save(tokenizer, folder)
    return folder


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Runs a program of ours in `tmp_path`, as a user does: command("scratchgrad-sample", "--temperature", "0")."""

    def run(name: str, *arguments: object, input: bytes = b"", **options: Any) -> subprocess.CompletedProcess[bytes]:
        words = [str(Path(sysconfig.get_path("scripts"), name)), *map(str, arguments)]
        return subprocess.run(words, input=input, capture_output=True, timeout=120, **{"cwd": tmp_path, **options})

    return run


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """As `command`, but in this process: many times faster, for all that does not need a process of its own."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, *arguments: object, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        main = import_module(COMMANDS[name.removeprefix("scratchgrad-")]).main
        words = list(map(str, arguments))
        result = CliRunner().invoke(main, words, input=input, prog_name=name)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return subprocess.CompletedProcess([name, *words], result.exit_code, result.stdout_bytes, result.stderr_bytes)

    return run


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """start("scratchgrad-train", "toy.yaml", ranks=4): a Job in `tmp_path`; ranks=None starts it without a launcher.

    The name is a program of ours, or the source of a Python program.
    """
    jobs: list[Job] = []

    def begin(name: str, *arguments: object, ranks: int | None = None, **environment: str) -> Job:
        launcher = [] if ranks is None else [str(MPIRUN), "-n", str(ranks)]
        program = [str(SCRIPTS / name)] if name.startswith("scratchgrad-") else [sys.executable, "-c", name]
        jobs.append(Job([*launcher, *program, *map(str, arguments)], tmp_path, environment))
        return jobs[-1]

    yield begin
    for job in jobs:
        job.kill()


RECIPE = """
model: {model_type: llama, hidden_size: 32, num_hidden_layers: 3, num_attention_heads: 4, num_key_value_heads: 2,
        intermediate_size: 48, tie_word_embeddings: true}
tokenizer: {vocab_size: 300}
data: {source: files, files: [text/*.txt], validation: 0.2}
train: {steps: 60, batch_size: 8, context: 32, microbatches: 4, learning_rate: 3e-3, warmup_steps: 5, dropout: 0.1,
        eval_every: 20, eval_tokens: 1000, threads: 1}
checkpoint: {every_steps: 10, keep_last: 2}
"""


def write_recipe(folder: Path) -> str:
    """tiny.yaml in `folder`, with the text that it trains on."""
    rng = np.random.default_rng(0)
    words = [bytes(rng.integers(97, 123, rng.integers(1, 8)).tolist()).decode() for _ in range(200)]
    (folder / "text").mkdir()
    for number in range(40):
        (folder / "text" / f"{number:02d}.txt").write_text(" ".join(rng.choice(words, 200)) + "\n")
    (folder / "tiny.yaml").write_text(RECIPE)
    return "tiny.yaml"


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    return write_recipe(tmp_path)


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of tiny.yaml, 60 steps that nothing disturbed, without a launcher, on one thread."""
    folder = tmp_path_factory.mktemp("whole")
    words = [str(SCRIPTS / "scratchgrad-train"), write_recipe(folder), "log.run_dir=run", "train.threads=1"]
    job = Job(words, folder, {})
    try:
        assert job.end() == 0, job.output
    finally:
        job.kill()
    return folder / "run"


@pytest.fixture
def trained_run(tmp_path: Path, whole_run: Path) -> Path:
    """A copy of it, as `run` in `tmp_path`, to go on with."""
    return shutil.copytree(whole_run, tmp_path / "run")


@pytest.fixture
def no_op_stays_registered() -> Iterator[None]:
    """What a test adds to the table of ops is gone after it."""
    before = dict(OPS)
    yield
    OPS.clear()
    OPS.update(before)
