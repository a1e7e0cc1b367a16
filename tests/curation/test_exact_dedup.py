"""One of each group stays: which one follows from the documents, not from where they stand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("zstandard", reason="the extra curate is not installed")

from scratchgrad.tools.curation.document import Document
from scratchgrad.tools.curation.shuffle import Runs, RunWriter
from scratchgrad.tools.curation.steps.exact_dedup import ExactDedup
from tests.curation.corpora import corpus_of, documents_of, json_rows, outcome_of, split_into, unsynced  # noqa: F401


def test_the_first_of_equal_texts_stays_and_the_others_name_it(tmp_path):
    documents = documents_of(["one", "two", "one", "", "", "one"])
    outcome = outcome_of(ExactDedup(), corpus_of(tmp_path, [documents[3:], documents[:3]]))
    assert outcome.texts == {"a.jsonl:0": "one", "a.jsonl:1": "two", "a.jsonl:3": ""}
    assert {id: verdict.partner for id, verdict in outcome.verdicts.items()} == {
        "a.jsonl:2": "a.jsonl:0", "a.jsonl:5": "a.jsonl:0", "a.jsonl:4": "a.jsonl:3",
    }  # fmt: skip
    assert {verdict.measured for verdict in outcome.verdicts.values()} == {1.0}
    assert outcome.report["documents"] == 6
    assert outcome.report["removed"] == 3
    assert outcome.report["clusters"] == 2
    assert outcome.report["sizes"] == {"2": 1, "3": 1}
    assert outcome.report["largest"][0] == {"size": 3, "kept": "a.jsonl:0", "members": ["a.jsonl:2", "a.jsonl:5"]}
    assert {(pair["kept"], pair["removed"]) for pair in outcome.report["pairs"]} == {
        ("a.jsonl:0", "a.jsonl:2"), ("a.jsonl:0", "a.jsonl:5"), ("a.jsonl:3", "a.jsonl:4"),
    }  # fmt: skip


def test_the_source_with_the_smallest_priority_keeps_its_own(tmp_path):
    documents = [Document("a:0", "x", "web"), Document("z:0", "x", "books"), Document("b:0", "x", "unnamed")]
    outcome = outcome_of(ExactDedup(), corpus_of(tmp_path, [documents], {"web": 2, "books": -1}))
    assert list(outcome.texts) == ["z:0"]


def test_the_last_of_three_equal_documents_does_not_stay_with_the_second(tmp_path):
    """NeMo Curator #210, text-dedup #129: a tutorial dropped the first and kept the copies, or dropped every member."""
    outcome = outcome_of(ExactDedup(), corpus_of(tmp_path, [documents_of(["same"] * 3)]))
    assert list(outcome.texts) == ["a.jsonl:0"]


@pytest.mark.parametrize("texts", [["A", "A", "B"], ["one"], []])
def test_small_cases_name_every_member(tmp_path, texts):
    """data-juicer PR #906, #635, #637: duplicates that were not recorded; one document; none."""
    outcome = outcome_of(ExactDedup(), corpus_of(tmp_path, [documents_of(texts)]))
    assert sorted(outcome.texts.values()) == sorted(set(texts))
    assert len(outcome.verdicts) == len(texts) - len(set(texts)) == outcome.report["removed"]
    assert all(verdict.partner == "a.jsonl:0" for verdict in outcome.verdicts.values())


def test_normalised_texts_that_are_nothing_but_punctuation_are_compared_as_they_are(tmp_path):
    texts = ["Hello,  World!", "hello world", "HELLO WORLD\n", "!!!", "???", "!!!", "", "ßtraße", "Ünïcode…", "ünïcode"]
    outcome = outcome_of(ExactDedup(normalise=True), corpus_of(tmp_path, [documents_of(texts)]))
    partners = {id: verdict.partner for id, verdict in outcome.verdicts.items()}
    groups = [{f"a.jsonl:{n}" for n in group} for group in ((0, 1, 2), (3, 5), (8, 9))]
    for group in groups:
        assert len(group - outcome.texts.keys()) == len(group) - 1
        assert {partners[id] for id in group - outcome.texts.keys()} == group & outcome.texts.keys()
    assert len(partners) == 4


def test_by_a_field_of_the_metadata(tmp_path):
    urls = ["http://a", "http://b", "http://a", None, None]
    documents = [Document(f"d:{n}", str(n), "web", {"url": url}) for n, url in enumerate(urls)] + [
        Document("d:5", "5", "web")
    ]
    outcome = outcome_of(ExactDedup(key="url"), corpus_of(tmp_path, [documents]))
    (removed,) = outcome.verdicts
    assert {removed, outcome.verdicts[removed].partner} == {"d:0", "d:2"}
    assert outcome.verdicts[removed].reason == "the same url as another document"


@given(
    st.lists(st.tuples(st.sampled_from(["", "a", "A", "b", "c d"]), st.sampled_from(["web", "books"])), max_size=12),
    st.randoms(use_true_random=False),
)
@settings(max_examples=15)
def test_order_and_units_change_nothing(tmp_path_factory, rows, random):
    documents = [Document(f"f:{n}", text, source) for n, (text, source) in enumerate(rows)]
    outcomes = []
    for units in (1, 2, 7):
        outcome = outcome_of(
            ExactDedup(), corpus_of(tmp_path_factory.mktemp("corpus"), split_into(documents, units), {"books": 1})
        )
        verdicts = {id: (v.reason, v.measured, v.partner) for id, v in outcome.verdicts.items()}
        outcomes.append((verdicts, outcome.texts, (outcome.folder / "report.json").read_bytes()))
        random.shuffle(documents)
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert sorted(outcomes[0][1].values()) == sorted({text for text, _ in rows})


def test_expected_of_data_prep_kit(tmp_path, data_folder):
    """ededup's own input and output: the same contents are left, each once."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra curate is not installed")
    before, after = (
        parquet.read_table(data_folder / "05_curation" / "dedup" / f"dpk_ededup_{name}.parquet").to_pylist()
        for name in ("input", "expected")
    )
    documents = [Document(f"sample1.parquet:{n}", row["contents"], "ibm") for n, row in enumerate(before)]
    outcome = outcome_of(ExactDedup(), corpus_of(tmp_path, split_into(documents, 2)))
    assert sorted(outcome.texts.values()) == sorted(row["contents"] for row in after)
    assert outcome.report["removed"] == sum(len(row["removed"]) for row in after)


def test_dedupe_by_url_as_dolma_does(tmp_path, data_folder):
    """Its Bloom filter marks the second document of a URL that it has seen; ours, by priority, is the same one."""
    folder = data_folder / "05_curation"
    rows = json_rows(folder / "cc_jsonl" / "dolma_provided_000.json.gz")
    expected = json_rows(folder / "dolma_expected" / "dedupe-by-url.json.gz")
    documents = [Document(row["id"], row["text"], f"s{n}", row["metadata"]) for n, row in enumerate(rows)]
    outcome = outcome_of(
        ExactDedup(key="url"), corpus_of(tmp_path, [documents], {f"s{n}": n for n in range(len(rows))})
    )
    assert outcome.verdicts.keys() == {row["id"] for row in expected if row["attributes"]}


def test_ranges_hold_what_they_should_for_any_size(tmp_path):
    rng = np.random.default_rng(0)
    dtype = np.dtype([("key", "<u8"), ("value", "<u8")])
    rows = np.empty(5000, dtype)
    rows["key"] = rng.integers(0, 2**64, 5000, np.uint64) >> np.uint64(40) << np.uint64(40)
    rows["key"][::7] = rows["key"][0]
    rows["value"] = rng.permutation(5000)
    expected = rows[np.lexsort((rows["value"], rows["key"]))]
    for parts in (1, 3):
        folders = []
        for number, part in enumerate(np.array_split(rng.permutation(rows), parts)):
            folder = tmp_path / f"{parts}-{number}"
            folder.mkdir()
            folders.append(folder)
            with RunWriter(folder, "r", dtype, 4096) as runs:
                runs.add(part)
        found = Runs.of(folders, "r", dtype)
        for most in (1 << 30, 10_000, 1000):
            ranges = found.ranges(most)
            pieces = [found.between(keys) for keys in ranges]
            assert np.array_equal(np.concatenate(pieces), expected)
            assert [keys.before for keys in ranges] == np.cumsum([0, *map(len, pieces)])[:-1].tolist()
            assert len(ranges) > 1 or most > 80_000
    assert Runs.of([tmp_path / "none"], "r", dtype).ranges() == [(0, 1 << 64, 0)]
