"""Lines, paragraphs and long runs of words: each stays at one place, and nothing else goes."""

import hashlib
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("zstandard", reason="the extra curate is not installed")

from scratchgrad.tools.curation.document import Document
from scratchgrad.tools.curation.hashes import word_key, word_spans, words_in
from scratchgrad.tools.curation.spans import merge
from scratchgrad.tools.curation.steps.line_dedup import LineDedup
from scratchgrad.tools.curation.steps.paragraph_dedup import ParagraphDedup
from scratchgrad.tools.curation.steps.repeated_substrings import RepeatedSubstrings
from tests.curation.corpora import corpus_of, documents_of, json_rows, outcome_of, split_into, unsynced  # noqa: F401


def by_md5(documents):
    return sorted(documents, key=lambda d: (hashlib.md5(d.metadata.get("url", d.id).encode()).digest(), d.id))


def test_a_line_stays_at_the_url_with_the_smallest_md5(tmp_path):
    documents = [Document(f"a:{n}", f"Menu\nonly {n}\n", "web", {"url": f"http://{n}"}) for n in range(9)]
    first = by_md5(documents)[0]
    outcome = outcome_of(LineDedup(), corpus_of(tmp_path, split_into(documents, 2)))
    assert outcome.texts == {d.id: d.text if d is first else d.text.removeprefix("Menu\n") for d in documents}
    verdict = outcome.verdicts[by_md5(documents)[1].id]
    assert verdict.spans == ((0, 5),)
    assert verdict.partner == first.id
    assert verdict.measured == 5 / 12
    assert outcome.report["repeated"] == 1
    assert outcome.report["cut"] == outcome.report["edited_documents"] == 8
    assert outcome.report["dropped_documents"] == 0
    assert outcome.report["characters_cut_from_edited"] == 40
    assert outcome.report["most_repeated"] == [{"places": 9, "document": first.id, "part": 0}]


def test_a_document_of_which_nothing_is_left_is_dropped(tmp_path):
    documents = documents_of(["Menu\n\n Search ", "menu\nsearch\nMENU"])
    outcome = outcome_of(LineDedup(), corpus_of(tmp_path, [documents]))
    (id,), (other,) = outcome.texts, outcome.verdicts.keys() - outcome.texts.keys()
    assert id == by_md5(documents)[0].id
    assert outcome.verdicts[other].partner == id
    assert not outcome.verdicts[other].spans
    assert outcome.verdicts[other].reason == "lines of other documents; nothing else is left"
    assert outcome.report["dropped_documents"] == 1
    assert outcome.report["sources"] == {"web": {"documents": 2, "removed": 1}}


def test_the_source_with_the_smallest_priority_keeps_the_line(tmp_path):
    documents = [Document(f"a:{n}", f"x\n{n}", "books" if n == 7 else "web") for n in range(9)]
    outcome = outcome_of(LineDedup(), corpus_of(tmp_path, [documents], {"books": -1}))
    assert [id for id, text in outcome.texts.items() if "x" in text] == ["a:7"]


@pytest.mark.parametrize(("places", "allowed", "left"), [(2, 2, 2), (3, 2, 1), (3, 3, 3), (4, 3, 1)])
def test_a_line_in_no_more_than_the_allowed_places_stays(tmp_path, places, allowed, left):
    documents = documents_of([f"common line\n{n}" for n in range(places)])
    outcome = outcome_of(LineDedup(allowed=allowed), corpus_of(tmp_path, [documents]))
    assert sum("common" in text for text in outcome.texts.values()) == left


def test_short_lines_and_blank_ones_stay(tmp_path):
    documents = documents_of(["}\n\n}\nlong enough", "}\n\n}\n LONG enough\t"])
    outcome = outcome_of(LineDedup(characters=5), corpus_of(tmp_path, [documents]))
    assert sorted(text.count("}") for text in outcome.texts.values()) == [2, 2]
    assert sum("nough" in text for text in outcome.texts.values()) == 1


def test_paragraphs_go_with_their_blank_lines_and_leave_the_next_ones_indent(tmp_path):
    shared = "A notice of twenty characters,\nand a second line."
    documents = documents_of([f"one\n\n{shared}\n \n\n    def f():\n", f"{shared}\n\ntwo"])
    outcome = outcome_of(ParagraphDedup(), corpus_of(tmp_path, [documents]))
    left = {"a.jsonl:0": "one\n\n    def f():\n", "a.jsonl:1": "two"}
    kept = by_md5(documents)[0]
    assert outcome.texts == {**left, kept.id: kept.text}


@given(
    st.lists(st.lists(st.sampled_from(["a", "A ", "b", "c", "", "d"]), max_size=6).map("\n".join), max_size=6),
    st.randoms(use_true_random=False),
)
@settings(max_examples=15)
def test_every_line_stays_once_whatever_the_units_and_the_order(tmp_path_factory, texts, rng):
    documents = [Document(f"d:{n}", text, "web", {"url": f"u{n % 2}"}) for n, text in enumerate(texts)]
    outcomes = []
    for units in (1, 2, 7):
        outcome = outcome_of(LineDedup(), corpus_of(tmp_path_factory.mktemp("corpus"), split_into(documents, units)))
        verdicts = {id: (v.reason, v.measured, v.partner, v.spans) for id, v in outcome.verdicts.items()}
        outcomes.append((verdicts, outcome.texts, (outcome.folder / "report.json").read_bytes()))
        rng.shuffle(documents)
    assert outcomes[0] == outcomes[1] == outcomes[2]
    lines = [line.strip().lower() for text in outcomes[0][1].values() for line in text.split("\n") if line.strip()]
    assert Counter(lines) == Counter(
        {line.strip().lower() for text in texts for line in text.split("\n") if line.strip()}
    )
    untouched = {document.id for document in documents} - outcomes[0][0].keys()
    assert all(outcomes[0][1][document.id] == document.text for document in documents if document.id in untouched)


def test_line_deduplication_of_cs336(tmp_path, data_folder):
    """Lines that stand in several places go everywhere; documents of which nothing is left are dropped, not empty."""
    folder = data_folder / "05_curation" / "dedup" / "cs336"
    documents = [
        Document(path.name, path.read_text(), "web")
        for path in sorted((folder / "documents_with_line_duplicates").iterdir())
    ]
    outcome = outcome_of(LineDedup(keep="none"), corpus_of(tmp_path, split_into(documents, 2)))
    expected = {path.name: path.read_text() for path in (folder / "documents_line_deduplicated").iterdir()}
    assert outcome.texts == {name: text for name, text in expected.items() if text}
    assert expected.keys() - outcome.texts.keys() == {"doc1.txt", "doc2.txt"}


def test_paragraphs_of_dolma(tmp_path, data_folder):
    """Its paragraphs are our lines. Where sources have their order as priorities, so that the first document keeps a line,
    the same spans go. Dolma's last span of a text counts a line break that is not there.
    """
    folder = data_folder / "05_curation"
    rows = json_rows(folder / "cc_jsonl" / "dolma_provided_000.json.gz")
    expected = {
        row["id"]: [span[:2] for span in row["attributes"]["bff_duplicate_paragraph_spans"]]
        for row in json_rows(folder / "dolma_expected" / "dedupe-paragraphs.json.gz")
    }
    documents = [Document(row["id"], row["text"], f"s{n}", row["metadata"]) for n, row in enumerate(rows)]
    priorities = {f"s{n}": n for n in range(len(rows))}
    outcome = outcome_of(LineDedup(), corpus_of(tmp_path, split_into(documents, 3), priorities))
    for document in documents:
        ours = outcome.verdicts[document.id].spans if document.id in outcome.verdicts else ()
        theirs = [(start, min(end, len(document.text))) for start, end in expected[document.id]]
        assert list(ours) == merge(theirs)
    assert len(outcome.verdicts) == 1


# -------------------------------------------------------------------------------------------------- long runs of words


@given(st.text(st.sampled_from("aB1 .,_[`{\x7f\0\n\t\u3000中国ไทย。—’\x1c\xa0\x85éÉµ×😀\ud800"), max_size=40))
def test_words_and_their_places_are_the_same(text):
    assert [word_key(text[start:end]) for start, end in word_spans(text)] == words_in(text)


def words(rng, count):
    return [f"v{rng.randrange(10**6)}" for _ in range(count)]


def test_a_long_run_stays_at_one_place_and_a_short_one_at_all(tmp_path):
    rng = random.Random(0)
    long, short = words(rng, 60), words(rng, 49)
    texts = [" ".join([*words(rng, 30), *long, *words(rng, 20), *short, *words(rng, 10)]) for _ in range(3)]
    documents = documents_of(texts)
    kept = by_md5(documents)[0].id
    outcome = outcome_of(RepeatedSubstrings(), corpus_of(tmp_path, split_into(documents, 2)))
    for document in documents:
        assert " ".join(short) in outcome.texts[document.id]
        expected = document.text if document.id == kept else document.text.replace(" ".join(long) + " ", "")
        assert outcome.texts[document.id] == expected
    assert {verdict.partner for verdict in outcome.verdicts.values()} == {kept}
    assert outcome.report["repeated"] == 11
    assert outcome.report["cut"] == 22


def test_a_run_that_a_document_repeats_stays_there_once(tmp_path):
    rng = random.Random(1)
    run = words(rng, 50)
    text = " ".join([*run, "between", *run, "after"])
    outcome = outcome_of(RepeatedSubstrings(), corpus_of(tmp_path, [documents_of([text])]))
    assert outcome.texts["a.jsonl:0"] == " ".join([*run, "between", "after"])
    same = outcome_of(RepeatedSubstrings(words=5), corpus_of(tmp_path / "b", [documents_of(["ha " * 20 + "end"])]))
    assert same.texts["a.jsonl:0"] == "ha " * 5 + "end"


def test_whole_copies_are_dropped_and_units_change_nothing(tmp_path):
    rng = random.Random(2)
    passage = words(rng, 80)
    texts = [" ".join(passage), " ".join(passage).upper() + ".", " ".join([*words(rng, 5), *passage[10:75]]), "short"]
    documents = documents_of([*texts, "short"])
    outcomes = []
    for units in (1, 2, 7):
        outcome = outcome_of(RepeatedSubstrings(), corpus_of(tmp_path / str(units), split_into(documents, units)))
        verdicts = {id: (v.reason, v.measured, v.partner, v.spans) for id, v in outcome.verdicts.items()}
        outcomes.append((verdicts, outcome.texts, (outcome.folder / "report.json").read_bytes()))
        rng.shuffle(documents)
    assert outcomes[0] == outcomes[1] == outcomes[2]
    verdicts, left, _ = outcomes[0]
    assert left["a.jsonl:3"] == left["a.jsonl:4"] == "short"
    whole = " ".join(left.values()).lower()
    assert all(whole.count(word) == 1 for word in passage)


def test_paragraphs_by_n_grams_of_dolma(tmp_path, data_folder):
    """The same spans go, by 6-grams three words apart of which half were seen before, in the order of the documents.

    But for two lines, whose words we part at a full stop and a comma (Clizbeats.com, 1,000) and Dolma does not, so that
    every third word is another one. Dolma's last span of a text counts a line break that is not there; one of a
    document whose text was another one reaches further.
    """
    folder = data_folder / "05_curation"
    rows = json_rows(folder / "cc_jsonl" / "dolma_provided_000.json.gz")
    expected = {
        row["id"]: [span[:2] for span in row["attributes"]["bff_duplicate_paragraph_spans"]]
        for row in json_rows(folder / "dolma_expected" / "dedupe-paragraph-ngrams.json.gz")
    }
    documents = [Document(row["id"], row["text"], f"s{n}", row["metadata"]) for n, row in enumerate(rows)]
    priorities = {f"s{n}": n for n in range(len(rows))}
    step = LineDedup(ngram=6, stride=3, overlap=0.5)
    outcome = outcome_of(step, corpus_of(tmp_path, split_into(documents, 3), priorities))
    same, more, less = 0, [], []
    for document in documents:
        ours = outcome.verdicts[document.id].spans if document.id in outcome.verdicts else ()
        theirs = merge((start, min(end, len(document.text) + 1)) for start, end in expected[document.id])
        theirs = [(start, min(end, len(document.text))) for start, end in theirs]
        same += len(set(ours) & set(theirs))
        more += [document.text[start:end] for start, end in sorted(set(ours) - set(theirs))]
        less += [expected[document.id][-1] for _ in set(theirs) - set(ours)]
    assert same == 2
    assert [line.split()[0] for line in more] == ["Did", "1,000"]
    assert less == [[3207, 3907]]
    assert len(documents[7].text) == 3420


def test_a_line_goes_when_enough_of_its_n_grams_stand_before(tmp_path):
    rng = random.Random(3)
    one, two = words(rng, 20), words(rng, 20)
    texts = [
        " ".join(one),
        " ".join([*one[:10], *two[:10]]),
        " ".join(one[:3]),
        " ".join(one[:3]),
        " ".join([*one[4:], *two[15:]]),
    ]
    documents = [Document(f"a:{n}", text, f"s{n}") for n, text in enumerate(texts)]
    priorities = {f"s{n}": n for n in range(5)}
    for overlap, left in ((6 / 16, [0, 2]), (6.1 / 16, [0, 1, 2]), (12 / 17, [0, 1, 2]), (12.1 / 17, [0, 1, 2, 4])):
        step = LineDedup(ngram=5, overlap=overlap)
        outcome = outcome_of(step, corpus_of(tmp_path / str(overlap), split_into(documents, 2), priorities))
        assert sorted(outcome.texts) == [f"a:{n}" for n in left]
