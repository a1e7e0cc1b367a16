"""Near duplicates: found with the probability that the bands promise, joined only where they are alike."""

import itertools
import json
import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("zstandard", reason="the extra curate is not installed")

from scratchgrad.errors import UserError
from scratchgrad.tools.curation import near_duplicates
from scratchgrad.tools.curation.components import components
from scratchgrad.tools.curation.document import Document
from scratchgrad.tools.curation.hashes import hashed_words, mixed, ngrams
from scratchgrad.tools.curation.minhash import band_keys, jaccard, match_probability, signatures
from scratchgrad.tools.curation.steps.minhash_dedup import MinhashDedup
from tests.curation.corpora import corpus_of, documents_of, outcome_of, split_into, unsynced  # noqa: F401

VOCABULARY = [f"w{number}" for number in range(500)]


def text_of(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(VOCABULARY, k=words))


def changed(rng: random.Random, text: str, words: int) -> str:
    """With some words replaced, far from each other."""
    row = text.split()
    for place in rng.sample(range(0, len(row), 5), words):
        row[place] = f"x{rng.randrange(10**9)}"
    return " ".join(row)


def shingles(text: str, n: int = 5) -> set[tuple[str, ...]]:
    row = text.split()
    return {tuple(row[i : i + n]) for i in range(max(1, len(row) - n + 1))} if row else set()


def similarity(one: str, other: str) -> float:
    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b)


# ----------------------------------------------------------------------------------------------------- the arithmetic


def test_the_probabilities_are_those_that_fineweb_states():
    assert match_probability(np.array([0.70, 0.75, 0.80, 0.85]), 14, 8) == pytest.approx(
        [0.56, 0.77, 0.92, 0.988], abs=0.006
    )


@pytest.mark.parametrize("s", [0.70, 0.75, 0.80, 0.85])
def test_pairs_match_as_often_as_they_should(s):
    """4,000 pairs of sets with this very similarity: five standard deviations of a binomial around the formula."""
    rng, pairs, size = np.random.default_rng(int(s * 100)), 4000, 400
    common = round(2 * s * size / (1 + s))
    exact = common / (2 * size - common)
    fresh = mixed(rng.integers(0, 2**64, (pairs, 2 * size - common), np.uint64))
    one, other = fresh[:, :size], fresh[:, size - common :]
    starts = np.arange(pairs + 1) * size
    keys = [band_keys(signatures(np.ascontiguousarray(sets).ravel(), starts, 112), 14) for sets in (one, other)]
    matched = (keys[0] == keys[1]).any(axis=1).mean()
    expected = match_probability(exact, 14, 8)
    assert abs(matched - expected) < 5 * np.sqrt(expected * (1 - expected) / pairs)


def test_shingles_are_runs_of_words_whatever_the_case_and_punctuation():
    values, starts = ngrams(*hashed_words(["a b c d e f", "A, b! C -- d (e) f.", "a b c d", "", "?!", "b c d e f"]), 5)
    sets = [values[starts[i] : starts[i + 1]].tolist() for i in range(6)]
    assert list(map(len, sets)) == [2, 2, 1, 0, 0, 1]
    assert sets[0] == sets[1]
    assert sets[5] == sets[0][1:]
    assert not set(sets[2]) & set(sets[0])


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=9), max_size=6), st.integers(1, 6))
def test_shingles_in_a_batch_are_those_of_each_text_alone(texts, n):
    values, starts = ngrams(*hashed_words(map(" ".join, texts)), n)
    names = {}
    for number, row in enumerate(texts):
        own = values[starts[number] : starts[number + 1]].tolist()
        runs = [tuple(row[i : i + n]) for i in range(len(row) - n + 1)] or ([tuple(row)] if row else [])
        assert len(own) == len(runs)
        for value, run in zip(own, runs, strict=True):
            assert names.setdefault(value, run) == run
    assert len(set(names.values())) == len(names)


def test_hashes_are_the_same_in_every_process_and_on_every_machine():
    """An index on disk is made of them: PYTHONHASHSEED must not matter."""
    program = (
        "from scratchgrad.tools.curation.hashes import *; from scratchgrad.tools.curation.minhash import *; "
        "shingles = ngrams(*hashed_words(['one two three Four, 五']), 5); "
        "print(*shingles[0], *band_keys(signatures(*shingles, 112), 14)[0, :2])"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("0", "1")
    ]  # fmt: skip
    assert outputs == ["7766834628231163249 11279681017116978083 16415835760608479696\n"] * 2


@given(st.sets(st.integers(0, 30)), st.lists(st.sets(st.integers(0, 30)), max_size=4))
def test_jaccard_is_exact(one, others):
    sets = [np.array(sorted(each), np.uint64) for each in others]
    starts = np.concatenate([[0], np.cumsum([len(each) for each in sets], dtype=int)]).astype(int)
    found = jaccard(np.array(sorted(one), np.uint64), np.concatenate([*sets, np.empty(0, np.uint64)]), starts)
    assert found.tolist() == [len(one & each) / len(one | each) if one | each else 0.0 for each in others]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=30), st.randoms(use_true_random=False))
def test_components_do_not_depend_on_the_order_of_edges(edges, rng):
    """Marin #6798: labels anchored on the order of arrival, 14 of 120 of which differed."""
    expected = {node: node for edge in edges for node in edge}
    for _ in expected:
        for a, b in edges:
            expected[a] = expected[b] = min(expected[a], expected[b])
    for _ in range(2):
        ends = np.array(edges, np.uint64).reshape(-1, 2)
        nodes, labels = components(ends[:, 0], ends[:, 1])
        assert dict(zip(nodes.tolist(), labels.tolist(), strict=True)) == expected
        rng.shuffle(edges)


def test_a_long_chain_is_one_component():
    order = np.random.default_rng(0).permutation(5000).astype(np.uint64)
    nodes, labels = components(order[:-1], order[1:])
    assert len(nodes) == 5000
    assert not labels.any()


# --------------------------------------------------------------------------------------------------------- the step


def test_the_partner_and_the_exact_similarity_of_every_removed_document_are_told(tmp_path):
    """DataTrove #213, #312, #370: which document a removed one is a duplicate of could not be found out."""
    rng = random.Random(0)
    text = text_of(rng, 300)
    near = changed(rng, text, 4)
    documents = documents_of([text, text_of(rng, 300), near, text_of(rng, 200)])
    outcome = outcome_of(MinhashDedup(), corpus_of(tmp_path, split_into(documents, 2)))
    ((id, verdict),) = outcome.verdicts.items()
    assert {id, verdict.partner} == {"a.jsonl:0", "a.jsonl:2"}
    assert verdict.partner in outcome.texts
    assert verdict.measured == pytest.approx(similarity(text, near))
    assert outcome.report["pairs"] == [{"kept": verdict.partner, "removed": id, "score": verdict.measured}]
    assert outcome.report["sizes"] == {"2": 1}
    assert outcome.report["documents"] == 4


def test_short_texts_are_one_shingle_and_texts_without_words_stand_apart(tmp_path):
    """DataFlow PR #526: all texts of fewer than n words had the empty signature, and one of them survived."""
    texts = ["cat", "dog", "cat", "", "", "!!!", "!!!", "\n\n", "the cat", "cat the"]
    outcome = outcome_of(MinhashDedup(), corpus_of(tmp_path, [documents_of(texts)]))
    assert sorted(outcome.texts.values()) == sorted(["cat", "dog", "", "", "!!!", "!!!", "\n\n", "the cat", "cat the"])


def test_unrelated_books_share_no_shingles(tmp_path):
    """Marin datakit #6854: by character 5-grams unrelated books are alike by 0.36, and 859,091 of them were one."""
    rng = random.Random(1)
    words = [f"{a}{b}" for a in ("ta", "ki", "lo", "mer") for b in ("ner", "sta", "vin", "dol", "rac")]
    books = [" ".join(rng.choices(words, k=3000)) for _ in range(8)]
    outcome = outcome_of(MinhashDedup(), corpus_of(tmp_path, [documents_of(books)]))
    assert len(outcome.texts) == 8
    assert outcome.report["clusters"] == 0
    grams = [{book[i : i + 5] for i in range(len(book))} for book in books]
    assert len(grams[0] & grams[1]) / len(grams[0] | grams[1]) > 0.36  # as the report has it


def test_a_giant_cluster_and_a_source_that_loses_most_are_named(tmp_path, capsys):
    rng = random.Random(2)
    text = text_of(rng, 200)
    documents = documents_of([changed(rng, text, 2) for _ in range(30)], "calls") + documents_of(
        [text_of(rng, 100) for _ in range(9)], "books", "b"
    )
    step = MinhashDedup(giant=20, largest_bucket=8)
    outcome = outcome_of(step, corpus_of(tmp_path, split_into(documents, 3)))
    assert len(outcome.texts) == 10
    assert outcome.report["sizes"] == {"30": 1}
    assert outcome.report["largest"][0]["size"] == 30
    assert outcome.report["sources"] == {
        "books": {"documents": 9, "removed": 0}, "calls": {"documents": 30, "removed": 29},
    }  # fmt: skip
    assert outcome.report["large_buckets"] > 0
    told = capsys.readouterr().err
    assert "a cluster of 30 documents" in told
    assert "source 'calls' loses 29 of its 30 documents" in told
    assert "not all compared" in told


def test_a_chain_is_one_cluster_and_says_what_was_measured(tmp_path):
    """One, two and three are alike in a row; the ends are not: only edges above the threshold join, the score is true."""
    rng = random.Random(5)
    one = text_of(rng, 400)
    two = changed(rng, one, 8)
    three = changed(rng, two, 8)
    texts = [one, two, three]
    assert similarity(one, two) > 0.8 < similarity(two, three)
    assert similarity(one, three) < 0.8
    outcome = outcome_of(MinhashDedup(threshold=0.8), corpus_of(tmp_path, [documents_of(texts)]))
    assert len(outcome.texts) == 1
    by_id = {f"a.jsonl:{n}": text for n, text in enumerate(texts)}
    for id, verdict in outcome.verdicts.items():
        assert verdict.measured == pytest.approx(similarity(by_id[id], by_id[verdict.partner]))
        assert ("of near duplicates" in verdict.reason) == (verdict.measured < 0.8)
    assert outcome.report["joined_pairs"] == 2


def families(rng, count):
    """Texts with planted near duplicates, and others."""
    texts = []
    for _ in range(count):
        text = text_of(rng, rng.randint(40, 200))
        texts.append(text)
        for _ in range(rng.choice([0, 0, 1, 2, 4])):
            texts.append(changed(rng, rng.choice([text, texts[-1]]), rng.randint(0, 5)))
    return texts


@given(st.integers(0, 2**32))
@settings(max_examples=6)
def test_units_and_order_change_nothing_and_survivors_are_clusters(tmp_path_factory, seed):
    rng = random.Random(seed)
    documents = [Document(f"d:{n}", text, rng.choice(["web", "books"])) for n, text in enumerate(families(rng, 12))]
    by_id = {document.id: document for document in documents}
    outcomes = []
    for units in (1, 2, 7):
        corpus = corpus_of(tmp_path_factory.mktemp("corpus"), split_into(documents, units), {"books": 1})
        outcome = outcome_of(MinhashDedup(largest_bucket=2), corpus)
        verdicts = {id: (v.reason, v.measured, v.partner) for id, v in outcome.verdicts.items()}
        outcomes.append((verdicts, outcome.texts, (outcome.folder / "report.json").read_bytes()))
        rng.shuffle(documents)
    assert outcomes[0] == outcomes[1] == outcomes[2]
    verdicts, texts, _ = outcomes[0]
    clusters = {id: {id} for id in texts}
    for id, (_, _, partner) in verdicts.items():
        clusters[partner].add(id)  # a partner is a survivor

    def order(id):
        return ({"books": 1}.get(by_id[id].source, 0), by_id[id].content_hash, id)

    assert all(kept == min(members, key=order) for kept, members in clusters.items())


def test_no_pair_below_the_threshold_is_joined_and_planted_ones_are_found(tmp_path):
    """Against brute force: every cluster hangs together by pairs that are alike, and of those at 0.85 few are missed."""
    rng = random.Random(11)
    texts = families(rng, 120)
    outcome = outcome_of(MinhashDedup(), corpus_of(tmp_path, split_into(documents_of(texts), 3)))
    survivor = {f"a.jsonl:{n}": f"a.jsonl:{n}" for n in range(len(texts))}
    survivor |= {id: verdict.partner for id, verdict in outcome.verdicts.items()}
    sets = [shingles(text) for text in texts]
    alike = {}
    for a, b in itertools.combinations(range(len(texts)), 2):
        if shared := len(sets[a] & sets[b]):
            alike[a, b] = shared / (len(sets[a]) + len(sets[b]) - shared)
    strong = [pair for pair, s in alike.items() if s >= 0.85]
    found = [pair for pair in strong if survivor[f"a.jsonl:{pair[0]}"] == survivor[f"a.jsonl:{pair[1]}"]]
    assert len(strong) >= 80
    assert len(found) >= 0.97 * len(strong)
    edges = np.array([pair for pair, s in alike.items() if s >= 0.7], np.uint64)
    nodes, labels = components(edges[:, 0], edges[:, 1])
    label = {number: number for number in range(len(texts))} | dict(zip(nodes.tolist(), labels.tolist(), strict=True))
    for id, kept in survivor.items():
        assert label[int(id.split(":")[1])] == label[int(kept.split(":")[1])]


def test_small_pieces_of_work_change_nothing(tmp_path, monkeypatch):
    """Batches, ranges and comparisons in parts, as for a corpus larger than memory."""
    rng = random.Random(3)
    documents = documents_of(families(rng, 30))
    whole = outcome_of(MinhashDedup(), corpus_of(tmp_path / "a", split_into(documents, 2)))
    for name, value in (("BATCH", 500), ("PAIRS", 3), ("SHINGLES", 100)):
        monkeypatch.setattr(near_duplicates, name, value)
    monkeypatch.setattr("scratchgrad.tools.curation.shuffle.BYTES", 4000)
    monkeypatch.setattr("scratchgrad.tools.curation.minhash.TILE", 100)
    parts = outcome_of(MinhashDedup(), corpus_of(tmp_path / "b", split_into(documents, 2)))
    assert len(list((parts.folder / "paired").iterdir())) > 3
    assert parts.verdicts == whole.verdicts
    assert (parts.folder / "report.json").read_bytes() == (whole.folder / "report.json").read_bytes()


def test_duplicates_of_data_juicers_demo(tmp_path, data_folder):
    """A paper twice, a text on a plant with a word changed, half of it with a word changed, a Chinese one with a word more."""
    lines = (data_folder / "05_curation" / "dedup" / "data_juicer_deduplication.jsonl").read_text().splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    outcome = outcome_of(MinhashDedup(), corpus_of(tmp_path, split_into(documents_of(texts), 2)))
    clusters = {}
    for id in [f"a.jsonl:{n}" for n in range(len(texts))]:
        kept = outcome.verdicts[id].partner if id in outcome.verdicts else id
        clusters.setdefault(kept, set()).add(int(id.split(":")[1]))
    assert sorted(map(sorted, (group for group in clusters.values() if len(group) > 1))) == [
        [6, 11],
        [7, 8],
        [9, 10],
        [12, 13],
    ]


# --------------------------------------------------------------------------------------------------------- the index


def curated(folder, documents, index, **settings):
    """A whole run: the step, then its end."""
    step = MinhashDedup(index=str(index), **settings)
    corpus = corpus_of(folder, split_into(documents, 2))
    outcome = outcome_of(step, corpus)
    parts = tuple(sorted((corpus.folder / "verdicts").iterdir()))
    finish(step, corpus, parts)
    return outcome


def finish(step, corpus, parts=()):
    """As the engine does it, in a folder of its own."""
    end = corpus.folder.parent / "end"
    end.mkdir(exist_ok=True)
    left = replace(corpus.documents, verdicts=(parts,) if parts else ())
    step.finish(replace(corpus, documents=left, folder=end), corpus.folder / "report.json")


def test_nothing_that_stands_in_the_index_survives(tmp_path):
    """DataTrove #249, #376: a real document could take the root of the index's cluster, and survived."""
    rng = random.Random(4)
    old = documents_of([text_of(rng, 200) for _ in range(5)], prefix="old")
    first = curated(tmp_path / "1", old, tmp_path / "index")
    assert len(first.texts) == 5
    assert first.report["index_documents"] == 0
    near = [changed(rng, document.text, 3) for document in old]
    new = documents_of([near[0], changed(rng, near[0], 1), near[3], text_of(rng, 200), old[2].text], prefix="new")
    second = curated(tmp_path / "2", new, tmp_path / "index")
    assert list(second.texts) == ["new:3"]
    assert {id: verdict.partner for id, verdict in second.verdicts.items()} == {
        "new:0": "old:0", "new:1": "old:0", "new:2": "old:3", "new:4": "old:2",
    }  # fmt: skip
    assert second.verdicts["new:0"].measured == pytest.approx(similarity(near[0], old[0].text))
    assert second.verdicts["new:4"].measured == 1.0
    assert second.report["index_documents"] == 5
    third = curated(
        tmp_path / "3", documents_of([changed(rng, new[3].text, 2), old[1].text], prefix="third"), tmp_path / "index"
    )
    assert not third.texts
    assert {verdict.partner for verdict in third.verdicts.values()} == {"new:3", "old:1"}
    assert third.report["index_documents"] == 6


def test_a_new_document_between_two_of_the_index_goes_and_both_stay(tmp_path):
    rng = random.Random(5)
    one = text_of(rng, 400)
    two = changed(rng, one, 8)
    three = changed(rng, two, 8)
    curated(tmp_path / "1", documents_of([one, three], prefix="old"), tmp_path / "index", threshold=0.8)
    outcome = curated(tmp_path / "2", documents_of([two], prefix="new"), tmp_path / "index", threshold=0.8)
    assert not outcome.texts
    assert outcome.report["removed"] == 1


def test_the_index_of_other_settings_and_a_damaged_one_are_refused(tmp_path):
    documents = documents_of(["one two three four five six"])
    curated(tmp_path / "1", documents, tmp_path / "index")
    with pytest.raises(UserError, match=r"index of other settings \(n = 5 there, 4 here\)"):
        curated(tmp_path / "2", documents, tmp_path / "index", n=4)
    bands = tmp_path / "index" / "part-00000" / "bands-0000.npy"
    bands.write_bytes(bands.read_bytes()[:-1])
    with pytest.raises(UserError, match="is not whole: the index is damaged"):
        curated(tmp_path / "3", documents, tmp_path / "index")


def test_a_run_that_is_killed_at_its_end_adds_itself_once(tmp_path):
    step = MinhashDedup(index=str(tmp_path / "index"))
    corpus = corpus_of(tmp_path / "1", [documents_of(["one two three", "four five six"])])
    step.run(corpus)
    for _ in range(2):
        finish(step, corpus)
    assert [path.name for path in sorted((tmp_path / "index").glob("part-*"))] == ["part-00000"]


def test_what_was_found_out_against_an_older_index_is_thrown_away(tmp_path):
    rng = random.Random(6)
    texts = [text_of(rng, 100) for _ in range(4)]
    index, hidden = tmp_path / "index", tmp_path / "hidden"
    curated(tmp_path / "1", documents_of(texts), index)
    (index / "part-00000").rename(hidden)
    step = MinhashDedup(index=str(index))
    late = corpus_of(tmp_path / "2", [documents_of([*texts, text_of(rng, 100)], prefix="late")])
    assert len(outcome_of(step, late).texts) == 5
    hidden.rename(index / "part-00000")  # another job, while this one was dead
    with pytest.raises(UserError, match="has grown since"):
        finish(step, late)
    assert len(outcome_of(step, late).texts) == 1
    finish(step, late)
    assert len(list(index.glob("part-*"))) == 2


def test_two_jobs_at_once_do_not_share_an_index(tmp_path):
    step = MinhashDedup(index=str(tmp_path / "index"))
    corpus = corpus_of(tmp_path / "1", [documents_of(["one"])])
    step.run(corpus)
    program = f"from scratchgrad.tools.curation.duplicate_index import *; lock_index(Path({str(tmp_path / 'index')!r}))"

    def other():
        return subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True
        )

    assert "is used by another job" in other().stderr
    finish(step, corpus)
    assert other().returncode == 0
