"""Each thing that can be added is one new file: those that the documentation shows work in a copy of the package."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.pages import ROOT, blocks, file_on

PAGE = "docs/extending.md"
ROOMS = ("models/", "tools/", "train/")


def run(folder, *command):
    """In `folder`, where the copy of the package is found first."""
    scripts = sysconfig.get_path("scripts")
    environment = {**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}", "PYTHONPATH": f"{folder}:{ROOT}"}
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, env=environment)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def add(folder, name, text):
    """A file of the page: of the package where its path begins with a room, else of the user."""
    path = folder / "scratchgrad" / name if name.startswith(ROOMS) else folder / name
    assert not path.exists()
    path.write_text(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """With a copy of the package and every file that the page shows, after all its other blocks have run."""
    folder = tmp_path_factory.mktemp("extending")
    shutil.copytree(ROOT / "scratchgrad", folder / "scratchgrad")  # the links to rooms become folders
    printed = ""
    for block in blocks(PAGE):
        if block.file:
            add(folder, block.file, block.text)
        elif block.language == "python":
            run(folder, sys.executable, "-W", "error", "-c", block.text)
        else:
            printed += run(folder, "sh", "-ec", block.text)
    (folder / "printed.txt").write_text(printed)
    return folder


def test_the_page_shows_an_op_a_family_and_how_each_is_used(folder):
    files = [block.file for block in blocks(PAGE) if block.file]
    assert {"squared_relu.py", "models/mpt.py", "mpt-toy.yaml", "my_models.py"} <= set(files)
    assert len(file_on(PAGE, "models/mpt.py").splitlines()) < 80


def test_the_family_learns_and_writes(folder):
    lines = [json.loads(line) for line in (folder / "runs/mpt-toy-001/metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == 20
    assert losses[-1] < losses[0] - 1
    assert (folder / "printed.txt").read_text().startswith("def ")
    assert (folder / "runs/tanh-toy-001/checkpoints/step-2/config.json").exists()


def test_the_family_reads_its_cache_and_is_recomputed(folder):
    run(folder, sys.executable, "-W", "error", "-c", """
from scratchgrad import manual_seed, models
from tests.models.checks import check_recomputation
from tests.models.decoders import batch, check_cache

config = models.config_from_dict(
    {"model_type": "mpt", "vocab_size": 40, "d_model": 16, "n_heads": 2, "n_layers": 2, "max_seq_len": 64}
)

def build():
    manual_seed(0)
    return models.build(config)

check_cache(build(), batch(40)["input_ids"])
check_recomputation(build, batch(40), 1)
""")  # fmt: skip


def test_the_familys_checkpoint_is_the_model_that_transformers_finds_in_it(folder):
    pytest.importorskip("transformers", reason="transformers is not installed")
    run(folder, sys.executable, "-c", """
from pathlib import Path
import numpy as np
import torch
from transformers import AutoModelForCausalLM
from scratchgrad import Tensor, models, no_grad

folder = Path("runs/mpt-toy-001/checkpoints/step-20")
theirs, ours = AutoModelForCausalLM.from_pretrained(folder), models.load(folder)
ids = np.random.default_rng(0).integers(0, 300, (2, 40))
with no_grad(), torch.no_grad():
    np.testing.assert_allclose(ours(Tensor(ids)).data, theirs(torch.tensor(ids)).logits.numpy(), atol=1e-4)
""")  # fmt: skip


def test_an_objective_and_a_source_are_found_in_the_copy_too(folder):
    for page, name in (
        ("docs/objectives.md", "train/objectives/fill_in_the_middle.py"),
        ("docs/data.md", "tools/text/sources/squares.py"),
    ):
        add(folder, name, file_on(page, name))
    told = run(folder, "scratchgrad-train", "mpt-toy.yaml", "--print-recipe", "train.objective=fill_in_the_middle")
    assert "objective: fill_in_the_middle" in told
    assert "pairs: 50" in run(
        folder, "scratchgrad-train", "transformer-toy.yaml", "--print-recipe", "data.source=squares", "data.pairs=50"
    )


def test_a_curation_asks_the_rule_of_the_step_that_was_added(folder):
    told = (folder / "printed.txt").read_text()
    assert "steps: questions\n  questions.questions <= 0.3 (max_questions)\n" in told
