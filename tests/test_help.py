"""The examples that --help shows, of every command and subcommand: each is one, and runs.

Where a whole run would take minutes it is made smaller by further words at its end; what still takes long is slow, and
has its words looked at in `make test`.
"""

import os
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from scratchgrad import manual_seed, models
from scratchgrad.models.adapters import AdapterConfig, adapt, save_adapter
from scratchgrad.train.recipe_files import packaged_recipes
from scratchgrad_start import COMMANDS
from tests.jobs import MPIRUN, SCRIPTS, Job
from tests.tools.test_commands import make_run
from tests.tools.test_tokenizer_bad_files import FIRST, bin_file

ROOT = Path(__file__).parents[1]
PROGRAMS = list(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"])
# What stands behind two spaces or more is said of an example.
EXAMPLE = re.compile(r"^ +((?:mpirun -n \d+ )?scratchgrad-\w+(?: \S+)*)(?:  .*)?$", re.MULTILINE)
SMALL_RUN = (
    "model.hidden_size=32 model.num_hidden_layers=1 model.num_attention_heads=2 model.intermediate_size=32 "
    "tokenizer.vocab_size=300 data.source=files data.files=texts data.validation=0.2 train.batch_size=4 "
    "train.context=32 train.steps=40 train.warmup_steps=2 train.eval_every=20 train.eval_tokens=500 "
    "checkpoint.every_steps=20"
)
SMALLER = {  # by the words that an example begins with: what makes it quick
    "scratchgrad-train toy.yaml": SMALL_RUN, "scratchgrad-train --resume": "train.steps=44",
    "scratchgrad-bench train": "--model toy --steps 1 --rounds 1", "scratchgrad-bench memory": "--model toy --steps 1",
    "scratchgrad-bench decode": "--model toy --tokens 8 --rounds 1", "scratchgrad-bench engine": "--rounds 1",
    "scratchgrad-bench experts": "--model toy --steps 1",
    "scratchgrad-bench curate": "--megabytes 0.2 --rounds 1",
    "scratchgrad-bench tokenizer": "--megabytes 0.05 --vocab-size 300 --rounds 1",
}  # fmt: skip


def program(name: str) -> click.Command:
    found: click.Command = import_module(COMMANDS[name.removeprefix("scratchgrad-")]).main
    return found


def commands(name: str) -> Iterator[tuple[str, click.Command]]:
    """A program and its subcommands, each with the words that call it."""
    top = program(name)
    yield name, top
    for sub, command in sorted(getattr(top, "commands", {}).items()):
        yield f"{name} {sub}", command


def examples(called: str, command: click.Command) -> list[str]:
    told = CliRunner().invoke(command, ["--help"], prog_name=called).output.partition("\nOptions:")[0]
    return [line for line in EXAMPLE.findall(told) if not line.startswith("Usage")]


ALL = [
    (called, example)
    for name in PROGRAMS
    for called, command in commands(name)
    for example in examples(called, command)
]


@pytest.mark.parametrize("called", [called for name in PROGRAMS for called, _ in commands(name)])
def test_every_command_shows_examples_of_itself(called):
    own = [example for of, example in ALL if of == called]
    assert own, f"{called} --help shows no example"
    assert all(called in example for example in own)


@pytest.mark.parametrize("example", [example for _, example in ALL])
def test_its_words_are_understood(example):
    for part in example.split(" | "):
        words = shlex.split(re.split(r" [<>] ", part)[0])
        words = words[words.index(next(word for word in words if word.startswith("scratchgrad-"))) :]
        command, rest = program(words[0]), words[1:]
        if isinstance(command, click.Group):
            _, command, rest = command.resolve_command(click.Context(command), rest or ["run"])
        command.make_context(" ".join(words[:2]), rest)


def test_training_lists_the_packaged_recipes_with_what_they_are(call):
    told = call("scratchgrad-train", "--help").stdout.decode().partition("Packaged recipes:")[2]
    assert re.findall(r"^  (\S+\.yaml) ", told, re.MULTILINE) == packaged_recipes()
    assert "A language model of Python's standard library" in told


@pytest.fixture
def folder(tmp_path: Path, model_folder: Path) -> Path:
    """What a user has who tries them: a run, models, an adapter, texts."""
    make_run(tmp_path, "toy-001", model_folder)
    shutil.copytree(model_folder, tmp_path / "toy-hf")
    save_adapter(adapt(models.load(tmp_path / "toy-hf"), AdapterConfig()), tmp_path / "lora")
    config = {
        "model_type": "llama", "vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 24, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
    }  # fmt: skip
    manual_seed(0)
    models.write_llama2c(models.build(models.config_from_dict(config)), tmp_path / "stories15M.bin")
    letters = [bytes([letter]) for letter in range(ord("a"), ord("z") + 1)]
    (tmp_path / "tokenizer.bin").write_bytes(bin_file([*FIRST, b" ", b"O", *letters]))
    (tmp_path / "tokenizer.json").write_bytes((model_folder / "tokenizer.json").read_bytes())
    for name in ("book.txt", "question.txt", "questions.txt", "books/a.txt", "texts/a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("the cat sat on the mat\n" * (1 if "question" in name else 200))
    (tmp_path / "table.csv").write_text('text,stars\n"the cat, and the dog",3\n')
    (tmp_path / "ids.txt").write_text("105 106 257")
    return tmp_path


def smaller(example: str) -> str:
    """With the words of SMALLER behind its own."""
    more = next((words for begin, words in SMALLER.items() if begin in example), "")
    command, redirection = re.match(r"(.*?)((?: [<>] .*)?)$", example).groups()
    return f"{command} {more}{redirection}"


def run(example: str, folder: Path) -> None:
    path = f"{SCRIPTS}{os.pathsep}{MPIRUN.parent}{os.pathsep}{os.environ['PATH']}"
    job = Job(["sh", "-c", smaller(example)], folder, {"PATH": path})
    try:
        assert job.end(900) == 0, f"{example}\n{job.output}"
    finally:
        job.kill()
    assert "Traceback" not in job.output


def run_here(example: str, call) -> None:
    """In this process: the same, many times faster."""
    given = b""
    for part in example.split(" | "):
        words, *redirections = re.split(r" (?=[<>] )", part)
        for redirection in redirections:
            if redirection.startswith("< "):
                given = Path(redirection[2:]).read_bytes()
        done = call(*shlex.split(words), input=given)
        assert done.returncode == 0, f"{example}\n{done.stderr.decode()}"
        given = done.stdout
        for redirection in redirections:
            if redirection.startswith("> "):
                Path(redirection[2:]).write_bytes(given)


@pytest.mark.parametrize("name", ["scratchgrad-sample", "scratchgrad-convert", "scratchgrad-tokenize"])
def test_examples_of_tools_run(folder, call, name):
    if name == "scratchgrad-convert":
        shutil.rmtree(folder / "toy-hf")
    for of, example in ALL:
        if of.startswith(name):
            if "tokenize train" in example:  # which starts processes
                run(example, folder)
            else:
                run_here(example.replace("--json", "--max-tokens 8 --json"), call)


def test_recipes_of_examples_are_such(folder, call):
    for of, example in ALL:
        if of == "scratchgrad-train" and "--resume" not in example:
            run_here(smaller(example).split("mpirun -n 4 ")[-1].split(" > ")[0] + " --print-recipe", call)


def test_the_recipe_of_a_curation_is_printed_with_what_its_keys_mean(call, tmp_path):
    words = ("code", "curate.steps=[minhash_dedup]", "minhash_dedup.n=7")
    told = call("scratchgrad-curate", "run", "--print-recipe", *words).stdout.decode()
    (tmp_path / "printed.yaml").write_text(told)
    again = call("scratchgrad-curate", "run", "--print-recipe", "printed.yaml").stdout.decode()
    assert again == told
    assert re.search(r"^  n: 7 +# words of a shingle$", told, re.MULTILINE)
    assert re.search(r"^  seed: 0 +# of the samples, and of whatever is drawn$", told, re.MULTILINE)
    assert "line_dedup" not in told, "a step that is not taken"


@pytest.mark.slow
def test_examples_of_training_run(folder):
    shutil.rmtree(folder / "runs")
    for of, example in ALL:
        if of == "scratchgrad-train":
            run(example, folder)
    runs = sorted(path.name for path in (folder / "runs").glob("toy-*"))
    assert runs == ["toy-001", "toy-002", "toy-003"]
    assert (folder / "runs" / "toy-003" / "checkpoints" / "step-44").is_dir(), "that which was resumed last"


@pytest.mark.slow
@pytest.mark.parametrize("example", [example for of, example in ALL if of.startswith("scratchgrad-bench")])
def test_examples_of_measuring_run(folder, example):
    for peer in ("torch", "tiktoken", "tokenizers"):
        if peer in example:
            pytest.importorskip(peer, reason=f"{peer} is not installed")
    run(example, folder)
