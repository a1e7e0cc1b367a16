"""What holds for every step that looks at all documents together: workers and pieces of work change no byte."""

import json
import random
from dataclasses import replace

import pytest

pytest.importorskip("zstandard", reason="the extra curate is not installed")

from scratchgrad.tools.curation.corpus import CorpusStep
from scratchgrad.tools.curation.document import Document
from scratchgrad.tools.curation.pool import ProcessPool
from scratchgrad.tools.curation.step import step_class, step_names
from tests.curation.corpora import corpus_of, outcome_of, split_into, unsynced  # noqa: F401

SETTINGS = {"repeated_substrings": {"words": 12}, "decontaminate": {"always": True}, "minhash_dedup": {"alarm": 0.99},
            "mixture": {"weights": {"web": 3.0, "books": 1.0}}}  # fmt: skip
CORPUS_STEPS = [name for name in step_names() if issubclass(step_class(name), CorpusStep)]


def documents() -> list[Document]:
    rng = random.Random(0)
    sentences = [" ".join(f"w{rng.randrange(300)}" for _ in range(rng.randint(3, 20))) for _ in range(40)]
    texts = ["\n".join(rng.choices(sentences, k=rng.randint(1, 12))) for _ in range(40)]
    texts += [text.replace("w1", "W1 ") for text in texts[:8]] + texts[8:16] + ["", "", "!"]
    texts += [f"\n\n{text}\n\n{text}" for text in texts[:5]]
    return [
        Document(f"d:{n}", text, rng.choice(["web", "books"]), {"url": f"u{n // 2}"}) for n, text in enumerate(texts)
    ]


def step_of(name, folder):
    settings = dict(SETTINGS.get(name, {}))
    if name == "decontaminate":
        (folder / "bench.jsonl").write_text(
            "".join(json.dumps({"question": document.text.split("\n")[0]}) + "\n" for document in documents()[:6])
        )
        settings["files"] = [str(folder / "bench.jsonl")]
    return step_class(name)(**settings)


@pytest.mark.parametrize("name", CORPUS_STEPS)
def test_workers_and_pieces_of_work_change_no_byte(tmp_path, name, monkeypatch):
    step, outcomes = step_of(name, tmp_path), []
    for workers, piece in ((1, None), (1, 2000), (2, None)):
        with monkeypatch.context() as patch:
            if piece:
                patch.setattr("scratchgrad.tools.curation.shuffle.BYTES", piece)
            corpus = corpus_of(tmp_path / f"{workers}-{piece}", split_into(documents(), 3), {"books": 1})
            outcome = outcome_of(step, replace(corpus, pool=ProcessPool(workers)))
        verdicts = [path.read_bytes() for path in sorted((outcome.folder / "verdicts").rglob("*.jsonl"))]
        outcomes.append((verdicts, (outcome.folder / "report.json").read_bytes(), outcome.texts))
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert outcome.verdicts


@pytest.mark.parametrize("name", CORPUS_STEPS)
def test_a_corpus_without_documents_is_one(tmp_path, name):
    for number, units in enumerate(([], [[]], [[], []])):
        outcome = outcome_of(step_of(name, tmp_path), corpus_of(tmp_path / str(number), units))
        assert not outcome.texts
        assert outcome.report["documents"] == 0


@pytest.mark.parametrize("name", CORPUS_STEPS)
def test_a_second_time_finds_nothing_more(tmp_path, name):
    """But for long runs of words: what is cut out of a text brings together what was apart."""
    corpus = corpus_of(tmp_path / "1", split_into(documents(), 2))
    first = outcome_of(step_of(name, tmp_path), corpus)
    left = [replace(document, text=first.texts[document.id]) for document in documents() if document.id in first.texts]
    again = outcome_of(step_of(name, tmp_path), corpus_of(tmp_path / "2", split_into(left, 2)))
    if name != "repeated_substrings":
        assert not again.verdicts


@pytest.mark.parametrize("text", ["", "\n", " ", "x", "中文", "😀", "\ud800", "a\x00b", "İ ſ ß", "word " * 20000])
@pytest.mark.parametrize("name", CORPUS_STEPS)
def test_every_text_is_one(tmp_path, name, text):
    twice = [Document("a", text, "web"), Document("b", text, "web"), Document("\ud800", "another one", "web")]
    outcome = outcome_of(step_of(name, tmp_path), corpus_of(tmp_path / "c", [twice[:1], twice[1:]]))
    assert "\ud800" in outcome.texts
    assert len(outcome.texts) >= 2
