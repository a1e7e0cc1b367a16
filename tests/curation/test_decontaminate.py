"""Items of benchmarks are found in documents however short they are in a long one, and nothing else is."""

import csv
import gzip
import io
import json
import random
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("zstandard", reason="the extra curate is not installed")

from scratchgrad.errors import UserError
from scratchgrad.tools.curation.benchmarks import read_items, readings_of
from scratchgrad.tools.curation.steps.decontaminate import Decontaminate
from tests.curation.corpora import corpus_of, documents_of, json_rows, outcome_of, split_into, unsynced  # noqa: F401


def words(rng, count):
    return " ".join(f"v{rng.randrange(10**6)}" for _ in range(count))


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [str(path)]


@pytest.mark.parametrize(("record", "readings"), [
    ({"question": "Why?", "answer": "So."}, ["Why? So."]),
    ({"ind": 3, "activity_label": "x", "ctx": "A man", "endings": ["sits.", "runs."], "label": 1, "split": "val"}, ["A man runs.", "A man sits. runs."]),
    ({"id": "M", "question": {"stem": "Which?", "choices": [{"text": "a b", "label": "A"}, {"text": "c d", "label": "B"}]}, "answerKey": "B"}, ["Which? c d", "Which? a b c d"]),
    ({"question": "Q", "choices": ["w", "x", "y", "z"], "answer": "C"}, ["Q y", "Q w x y z"]),
    ({"question": "Q", "choices": {"text": ["w", "x"], "label": ["1", "2"]}, "answerKey": "2"}, ["Q x", "Q w x"]),
    ({"question": "Q", "mc1_targets": {"yes": 0, "no": 1}}, ["Q no", "Q yes no"]),
    ({"task_id": "H/0", "prompt": "def f():", "canonical_solution": " return 1", "test": "assert f()"}, ["def f():  return 1"]),
    ({"context": "In my palm is", "continuation": "signs"}, ["In my palm is signs"]),
    ({"question_id": 1, "category": "generic", "turns": ["How?", "And then?"]}, ["How? And then?"]),
    ({"name": "pair-v2", "type": "pairwise"}, []),
    ({"question": " ", "answer": ""}, []),
    ({"doc": {"query": "Q", "choices": ["A", "B"], "gold": 0}, "idx": 0}, ["Q A", "Q A B"]),
])  # fmt: skip
def test_a_record_is_read_as_its_benchmark_means_it(record, readings):
    assert list(readings_of(record)) == readings


def test_named_fields_are_read_instead():
    assert readings_of({"Frage": "Wo?", "x": "no", "Antwort": "Da."}, ["frage", "Antwort"]) == ("Wo? Da.",)


def test_one_item_in_a_long_document_is_found_and_told(tmp_path):
    """Marin #6852, second half: leaks of one line in a long document were missed, as a share of the document is small."""
    rng = random.Random(0)
    items = [{"question": words(rng, 30), "answer": words(rng, 20)} for _ in range(5)]
    files = write(tmp_path / "bench.jsonl", items)
    leak = f"{items[3]['question'].upper()}!\n— {items[3]['answer']}".replace(" ", ", ")
    texts = [words(rng, 5000) + " " + leak + ". " + words(rng, 5000), words(rng, 3000), items[2]["question"]]
    step = Decontaminate(files=files, always=True)
    outcome = outcome_of(step, corpus_of(tmp_path / "c", split_into(documents_of(texts), 2)))
    assert outcome.texts.keys() == {"a.jsonl:1"}
    verdict = outcome.verdicts["a.jsonl:0"]
    assert verdict.measured == 1.0
    assert verdict.partner == f"{files[0]}:4"
    assert verdict.reason == "an item of a benchmark"
    assert outcome.verdicts["a.jsonl:2"].measured == 18 / 38  # 30 of the 50 words
    (match,) = [match for match in outcome.report["matches"] if match["document"] == "a.jsonl:0"]
    assert match["item"] == f"{files[0]}:4"
    assert match["text"].startswith(leak[:80])
    assert match["text"].endswith(leak[-20:])
    assert outcome.report["items"] == [
        {"item": f"{files[0]}:4", "overlap": 1.0, "documents": 1}, {"item": f"{files[0]}:3", "overlap": 18 / 38, "documents": 1},
    ]  # fmt: skip
    assert outcome.report["benchmarks"] == {
        files[0]: {"items": 5, "too_short": 0, "only_templates": 0, "clean": 3, "below_overlap": 0, "contaminated": 2}
    }


def test_instructions_that_many_items_have_are_no_contamination(tmp_path):
    """Marin #6852: a new problem that begins with MMLU's instructions was flagged, with 35 % of its source."""
    rng = random.Random(1)
    instructions = words(rng, 60)
    items = [{"question": f"{instructions} {words(rng, 20)}", "answer": words(rng, 10)} for _ in range(30)]
    items += [{"question": instructions, "answer": ""}]
    files = write(tmp_path / "bench.jsonl", items)
    texts = [f"{instructions} {words(rng, 40)}", items[7]["question"] + " " + items[7]["answer"], words(rng, 50)]
    outcome = outcome_of(Decontaminate(files=files, always=True), corpus_of(tmp_path / "c", [documents_of(texts)]))
    assert outcome.texts.keys() == {"a.jsonl:0", "a.jsonl:2"}
    assert outcome.report["template_ngrams"] == 48
    assert outcome.report["benchmarks"][files[0]]["only_templates"] == 1
    kept = outcome_of(
        Decontaminate(files=files, common=31, always=True), corpus_of(tmp_path / "d", [documents_of(texts)])
    )
    assert kept.texts.keys() == {"a.jsonl:2"}  # the discount is what does it


@pytest.mark.parametrize(("length", "found"), [(7, False), (8, True), (12, True), (13, True), (14, True)])
def test_short_items_are_looked_for_whole(tmp_path, length, found):
    rng = random.Random(length)
    item = words(rng, length)
    files = write(tmp_path / "bench.jsonl", [{"question": item}, {"question": words(rng, 40)}])
    texts = [f"{words(rng, 30)} {item} {words(rng, 30)}", f"{words(rng, 30)} {' '.join(item.split()[:-1])} other"]
    outcome = outcome_of(
        Decontaminate(files=files, overlap=1, always=True), corpus_of(tmp_path / "c", [documents_of(texts)])
    )
    assert ("a.jsonl:0" not in outcome.texts) == found
    assert "a.jsonl:1" in outcome.texts
    assert outcome.report["benchmarks"][files[0]]["too_short"] == (not found)
    assert [match["text"] for match in outcome.report["matches"]] == [item] * found


def test_n_grams_do_not_reach_from_one_document_into_the_next(tmp_path):
    rng = random.Random(2)
    item = words(rng, 20)
    files = write(tmp_path / "bench.jsonl", [{"question": item}])
    row = item.split()
    texts = [" ".join(row[:12]), " ".join(row[12:]), ""]
    outcome = outcome_of(
        Decontaminate(files=files, overlap=0.01, always=True), corpus_of(tmp_path / "c", [documents_of(texts)])
    )
    assert len(outcome.texts) == 3
    assert outcome.report["benchmarks"][files[0]]["clean"] == 1


@pytest.mark.parametrize(("documents", "backs_off"), [(1000, False), (999, True)])
def test_nothing_goes_where_more_than_a_thousandth_would(tmp_path, capsys, documents, backs_off):
    rng = random.Random(3)
    item = words(rng, 20)
    files = write(tmp_path / "bench.jsonl", [{"question": item}])
    corpus = corpus_of(tmp_path / "c", split_into(documents_of([item, *["other"] * (documents - 1)]), 2))
    outcome = outcome_of(Decontaminate(files=files), corpus)
    assert len(outcome.texts) == documents - (not backs_off)
    assert outcome.report["backed_off"] == backs_off
    assert outcome.report["matched"] == 1
    assert outcome.report["dropped"] == (not backs_off)
    assert outcome.report["benchmarks"][files[0]]["contaminated"] == 1
    told = capsys.readouterr().err
    (found,) = [
        line for path in outcome.folder.rglob("verdicts/*/matches.jsonl") for line in path.read_text().splitlines()
    ]
    assert json.loads(found) == {"document": "a.jsonl:0", "item": f"{files[0]}:1", "overlap": 1.0, "text": item}
    assert ("1 of 999 documents have an item of a benchmark" in told) == backs_off == bool(outcome.report["warnings"])


def test_a_benchmark_that_is_empty_or_unreadable_is_a_mistake(tmp_path):
    """dolma #174: decontamination was silently empty."""
    corpus = corpus_of(tmp_path / "c", [documents_of(["text"])])

    def told(name, content):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError) as error:
            Decontaminate(files=[str(tmp_path / name)]).run(corpus)
        return str(error.value)

    with pytest.raises(UserError, match="needs the benchmarks"):
        Decontaminate().run(corpus)
    with pytest.raises(UserError, match="no file matches"):
        Decontaminate(files=[str(tmp_path / "none*.jsonl")]).run(corpus)
    assert "is empty" in told("a.jsonl", b"")
    assert "not JSON" in told("b.jsonl", b"{")
    assert "not JSON" in told("b.json", b"[")
    assert "no record with text in a known field" in told("c.jsonl", b'{"name": "x"}\n')
    assert "no record with text" in told("d.json", b"[]")
    assert "no item of enough words" in told("e.jsonl", b'{"question": "too short"}\n')
    assert "not a whole gzip file" in told("f.jsonl.gz", gzip.compress(b'{"question": "x"}\n' * 99)[:-9])
    assert not (corpus.folder / "report.json").exists()


def test_units_and_order_change_nothing(tmp_path):
    rng = random.Random(4)
    items = [
        {"question": words(rng, 25), "choices": [words(rng, 6) for _ in range(4)], "answer": n % 4} for n in range(20)
    ]
    files = write(tmp_path / "bench.jsonl", items)
    documents = documents_of(
        [f"{words(rng, 30)} {rng.choice(items)['question'][: rng.randrange(300)]} {words(rng, 30)}" for _ in range(60)]
    )
    outcomes = []
    for units in (1, 2, 7):
        corpus = corpus_of(tmp_path / str(units), split_into(documents, units))
        outcome = outcome_of(Decontaminate(files=files, always=True), corpus)
        verdicts = {id: (v.reason, v.measured, v.partner) for id, v in outcome.verdicts.items()}
        outcomes.append((verdicts, outcome.texts, (outcome.folder / "report.json").read_bytes()))
        rng.shuffle(documents)
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert 0 < len(outcomes[0][0]) < 60


def test_the_seven_benchmarks_are_read_and_found(tmp_path, data_folder):
    """Of each official file a document with one of its items, in the layout of a web page, is found; prose is not."""
    folder = data_folder / "04_benchmarks"
    globs = [str(folder / name) for name in (
        "arc/ARC-Challenge/ARC-Challenge-Train.jsonl", "gsm8k/train.jsonl", "hellaswag/hellaswag_val.jsonl",
        "humaneval/HumanEval.jsonl.gz", "mmlu/val/*.csv", "truthfulqa/TruthfulQA.csv", "truthfulqa/mc_task.json",
        "core/piqa.jsonl",
    )]  # fmt: skip
    counts = Counter(item.file for item in read_items(globs, []))
    assert len(counts) == 7 + len(list((folder / "mmlu" / "val").iterdir()))
    for name, count in counts.items():
        text = Path(name).read_bytes() if not name.endswith(".gz") else gzip.decompress(Path(name).read_bytes())
        if ".jsonl" in name:
            assert count == len(text.splitlines())
        elif name.endswith(".csv"):
            assert count == len(list(csv.reader(io.StringIO(text.decode(), newline="")))) - ("truthfulqa" in name)
        else:
            assert count == len(json.loads(text))
    gsm8k = json.loads((folder / "gsm8k" / "train.jsonl").read_text().splitlines()[0])
    human = json_rows(folder / "humaneval" / "HumanEval.jsonl.gz")[0]
    with (folder / "mmlu" / "val" / "anatomy_val.csv").open(newline="") as file:
        mmlu = next(row for row in csv.reader(file) if len(" ".join(row[:2]).split()) > 25)
    leaks = {
        "gsm8k": f"Solutions\n\n{gsm8k['question']}\n\n{gsm8k['answer']}\n",
        "humaneval": f"# a repository\n{human['prompt']}{human['canonical_solution']}\n",
        "mmlu": f"Quiz. {mmlu[0]}\nA. {mmlu[1]}\nB. {mmlu[2]}\nC. {mmlu[3]}\nD. {mmlu[4]}\nAnswer: {mmlu[5]}",
    }
    prose = (data_folder / "01_lm_text" / "wikitext2_valid.txt").read_text()
    texts = [*leaks.values(), *(prose[start : start + 20_000] for start in range(0, len(prose), 20_000))]
    outcome = outcome_of(
        Decontaminate(files=globs, always=True), corpus_of(tmp_path, split_into(documents_of(texts), 2))
    )
    found = {id: verdict.partner.removeprefix(f"{folder}/").split("/")[0] for id, verdict in outcome.verdicts.items()}
    assert found == {f"a.jsonl:{number}": name for number, name in enumerate(leaks)}
