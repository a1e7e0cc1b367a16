"""A classifier of our own: learns real sentiments, the same bits in any order and on any number of threads."""

import json

import numpy as np
import pytest

from scratchgrad.errors import UserError
from scratchgrad.threads import set_threads
from scratchgrad.tools.curation.batch import Batch
from scratchgrad.tools.curation.hashes import mixed
from scratchgrad.tools.curation.linear_classifier import (
    Training,
    features_of,
    load_classifier,
    measured_quality,
    save_classifier,
    train_classifier,
)
from scratchgrad.tools.curation.steps.classifier import Classifier
from scratchgrad.tools.curation.steps.toxicity import Toxicity
from tests.curation.curated import ODD_TEXTS, documents_of

GOOD = [f"the light river walks slowly number {n}" for n in range(120)]
BAD = [f"buy cheap pills now offer {n}" for n in range(80)]
SMALL = Training(bits=12, epochs=3, holdout=0.2)


def rows(path) -> tuple[list[str], list[str]]:
    """Of a file of sentence, tab, label: those of label 1 and of label 0."""
    pairs = [line.rsplit("\t", 1) for line in path.read_text(encoding="utf-8").splitlines()]
    return tuple([text for text, label in pairs if label == wanted] for wanted in ("1", "0"))


def test_features_are_words_and_pairs_of_each_text():
    features = features_of(["a b a", "", "A b"], 20)
    first, second = features.ids[:5], features.ids[5:]
    assert features.starts.tolist() == [0, 5, 5, 8]
    assert first[0] == first[2] == second[0]
    assert first[1] == second[1]
    assert first[3] == second[2], "the pair a b"
    assert len({*first.tolist()}) == 4
    assert features_of([], 8).starts.tolist() == [0]
    assert features_of(["", "!"], 8).starts.tolist() == [0, 0, 0]


def test_quality_by_hand():
    quality = measured_quality(np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False]), 0.5)
    assert (quality.accuracy, quality.auc, quality.threshold) == (0.75, (1 + 1 + 1 + 0.5) / 4, 0.5)
    assert measured_quality(np.array([0.2, 0.8]), np.array([True, False]), 1.0).auc == 0
    assert measured_quality(np.array([0.2, 0.8]), np.array([True, False]), 0.01).threshold == 0.8


def test_it_learns_the_same_bits_in_any_order_and_on_two_threads():
    model, quality = train_classifier(GOOD, BAD, SMALL)
    assert quality.auc > 0.99
    assert quality.accuracy > 0.95
    again, _ = train_classifier(GOOD[::-1], BAD[50:] + BAD[:50], SMALL)
    set_threads(2)
    try:
        threaded, _ = train_classifier(GOOD, BAD, SMALL)
    finally:
        set_threads(1)
    for other in (again, threaded):
        assert other.weight.data.tobytes() == model.weight.data.tobytes()
        assert other.bias.data.tobytes() == model.bias.data.tobytes()
    other, _ = train_classifier(GOOD, BAD, Training(bits=12, epochs=3, holdout=0.2, seed=1))
    assert other.weight.data.tobytes() != model.weight.data.tobytes()


def test_real_sentiments(data_folder, tmp_path, call):
    folder = data_folder / "06_finetune/sst2"
    for name, texts in zip(("good", "bad"), rows(folder / "train.tsv"), strict=True):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    out = tmp_path / "filter"
    done = call("scratchgrad-curate", "train-filter", "good.jsonl", "bad.jsonl", "--out", str(out), "--keep", "0.3")
    assert done.returncode == 0, done.stderr
    told = json.loads((out / "config.json").read_text())["held_out"]
    assert told["accuracy"] > 0.75
    assert f"min_probability={told['threshold']:.6g} keeps 30% of them".encode() in done.stderr
    assert sorted(path.name for path in out.iterdir()) == ["config.json", "model.safetensors"]
    good, bad = rows(folder / "dev.tsv")
    step = Classifier(model=str(out))
    probabilities = step.measure(Batch(documents_of([*good, *bad])))["probability"]
    right = np.concatenate([probabilities[: len(good)] >= 0.5, probabilities[len(good) :] < 0.5])
    assert right.mean() > 0.75
    again = call("scratchgrad-curate", "train-filter", "good.jsonl", "bad.jsonl", "--out", str(out))
    assert (again.returncode, again.stderr.count(b"\n")) == (2, 1)


def test_saved_and_loaded_and_measured_by_a_step(tmp_path):
    model, quality = train_classifier(GOOD, BAD, SMALL)
    save_classifier(tmp_path / "filters" / "quality", model, SMALL, quality)
    texts = [*ODD_TEXTS, *GOOD[:5], *BAD[:5]]
    step = Classifier(model=str(tmp_path / "filters" / "quality"), min_probability=0.6)
    whole = step.measure(Batch(documents_of(texts)))["probability"]
    alone = [step.measure(Batch(documents_of([text])))["probability"][0] for text in texts]
    assert whole.tolist() == alone, "neighbours change nothing"
    assert whole.tolist() == load_classifier(tmp_path / "filters" / "quality").probabilities(texts).tolist()
    assert (whole[-10:-5] > 0.6).all()
    assert (whole[-5:] < 0.4).all()
    (rule,) = step.rules()
    assert (rule.threshold, rule.comparison) == (0.6, ">=")
    assert [path.rpartition("/")[2] for path in step.paths()] == ["config.json", "model.safetensors"]
    assert Toxicity(model=step.model).measure(Batch(documents_of(texts)))["probability"].tolist() == whole.tolist()


def test_what_cannot_be_is_told(tmp_path):
    with pytest.raises(UserError, match=r"the step toxicity needs toxicity.model"):
        Toxicity().paths()
    with pytest.raises(UserError, match="1 bad texts are too few"):
        train_classifier(GOOD, ["one"], SMALL)
    model, quality = train_classifier(GOOD, BAD, SMALL)
    folder = tmp_path / "filter"
    save_classifier(folder, model, SMALL, quality)
    config = json.loads((folder / "config.json").read_text())
    for change in ({"bits": 13}, {"bits": "12"}, {"model_type": "bert"}, {"bits": 10**9}):
        (folder / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(UserError, match="is no filter that `scratchgrad-curate train-filter` made"):
            load_classifier(folder)
    (folder / "model.safetensors").write_bytes(b"x")
    with pytest.raises(UserError):
        load_classifier(folder)


def test_held_out_texts_are_so_by_their_hash_alone():
    """A text that stands there twice is on one side."""
    hashes = np.arange(1000, dtype=np.uint64)
    held = mixed(hashes, 0) < np.uint64(int(0.1 * 2**64))
    assert 60 < held.sum() < 140
