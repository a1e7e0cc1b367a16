"""What a curation leaves is trained on, and every token of it leads back to the record that it came from."""

import json
import random
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("zstandard", reason="the extra curate is not installed")
pytest.importorskip("pyarrow", reason="the extra curate is not installed")

from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.commands.curate import main
from scratchgrad.tools.curation.engine import curate
from scratchgrad.tools.curation.pool import ProcessPool
from scratchgrad.tools.curation.recipe import load_recipe
from scratchgrad.tools.curation.shards import read_documents
from scratchgrad.tools.data import TokenStore

TRAIN = """
model: {model_type: llama, hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 48}
tokenizer: {vocab_size: 300}
data: {source: curated, folder: out, validation: 0.2}
train: {steps: 3, batch_size: 4, context: 32, learning_rate: 3e-3, warmup_steps: 1, eval_every: 3, eval_tokens: 500,
        threads: 1}
"""


@pytest.fixture
def curated(tmp_path: Path) -> Path:
    """Three files, each a unit, with a text too short and one twice."""
    rng = random.Random(0)
    words = ["the", "of", "and", "to", "river", "stone", "green", "light", "walks", "slowly", "houses", "größer", "猫"]
    for number in range(3):
        rows = [" ".join(rng.choices(words, k=rng.randrange(50, 90))) + "." for _ in range(12)]
        rows = ["too short", *rows, rows[5]]
        (tmp_path / f"{number}.jsonl").write_text("\n".join(json.dumps({"text": row}) for row in rows))
    overrides = [
        "data.source=files", f"data.files={tmp_path}/*.jsonl", "curate.steps=[gopher_quality, exact_dedup]",
        "curate.unit_bytes=1000", "gopher_quality.min_words=20",
    ]  # fmt: skip
    curate(load_recipe("gopher", overrides), tmp_path / "out", ProcessPool(1))
    return tmp_path / "out"


def test_a_recipe_trains_on_it(curated, tmp_path, call):
    (tmp_path / "small.yaml").write_text(TRAIN)
    trained = call("scratchgrad-train", "small.yaml")
    assert trained.returncode == 0, trained.stderr
    lines = [json.loads(line) for line in (tmp_path / "runs/small-001/metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == 3
    assert losses[0] == pytest.approx(np.log(300), abs=0.3)
    assert losses[2] < losses[0]


def test_each_token_range_names_the_line_that_it_came_from(curated, tmp_path, call, model_folder):
    told = call("scratchgrad-curate", "tokens", "out", "--tokenizer", model_folder, "--workers", 2)
    assert told.returncode == 0, told.stderr
    store, tokenizer = TokenStore(curated / "tokens"), tokenizers.load(curated / "tokens")
    shards = {int(part.name): list(read_documents(part)) for part in (curated / "documents").iterdir()}
    places = list(zip(store.columns["shard"].tolist(), store.columns["line"].tolist(), strict=True))
    assert places == [(shard, line) for shard in sorted(shards) for line in range(len(shards[shard]))]
    assert len(places) == 36
    for number, (shard, line) in enumerate(places):
        ids = store.tokens[store.offsets[number] : store.offsets[number + 1]].tolist()
        document = shards[shard][line]
        assert [id for id in ids if id != tokenizer.end_of_text] == list(tokenizer.encode(document.text))
        assert Path(document.id.partition(":")[0]).stem == str(shard)


def test_the_examples_of_the_help_are_commands(tmp_path, call):
    """Those that curate are tried on what they say that they read."""
    for name in ("web/a.warc.gz", "texts/a.jsonl.zst", "pages/a.jsonl.gz", "pages/a.warc.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    helps = "\n".join([main.help, *(command.help for command in main.commands.values())])
    shown = [re.split(" {3,}", line.strip())[0] for line in helps.splitlines() if "scratchgrad-curate" in line]
    tried = 0
    for line in shown:
        words = shlex.split(line[line.index("scratchgrad-curate") :])[1:]
        if not {*words[:1]} & {*main.commands} - {"run"}:
            told = call("scratchgrad-curate", *words, "--dry-run")
            assert told.returncode == 0, (line, told.stderr)
            tried += 1
    assert tried == 5


def test_what_was_not_measured_is_not_called_nan(curated, tmp_path, call):
    overrides = ["data.source=files", f"data.files={tmp_path}/0.jsonl", "curate.steps=[code_quality]"]
    curate(load_recipe("code", overrides), tmp_path / "code", ProcessPool(1))
    told = call("scratchgrad-curate", "explain", "code", f"{tmp_path}/0.jsonl:2").stdout.decode()
    assert "code_quality.visible_html: not asked of this document" in told
    assert "nan" not in told


def test_other_thresholds_are_applied_to_what_a_written_recipe_says(curated, tmp_path, call):
    """The recipe in the folder is read again, with all of its values."""
    told = call("scratchgrad-curate", "refilter", "out", "gopher_quality.min_words=1", "--out", "all")
    assert told.returncode == 0, told.stderr
    assert b"kept 36 of 42" in told.stderr
