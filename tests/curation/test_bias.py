"""Whom a curation silences: counts by hand, over rules, corpus steps and a second document stage."""

import json
import re

import numpy as np
import pytest

pytest.importorskip("zstandard", reason="the extra curate is not installed")
pytest.importorskip("pyarrow", reason="the extra curate is not installed")

from scratchgrad.errors import UserError
from scratchgrad.tools.curation.batch import Batch
from scratchgrad.tools.curation.bias import Company, Rate, company, removal_rates
from scratchgrad.tools.curation.engine import curate
from scratchgrad.tools.curation.group_terms import group_terms, read_back, written
from scratchgrad.tools.curation.outcomes import Outcomes
from scratchgrad.tools.curation.pool import ProcessPool
from scratchgrad.tools.curation.recipe import load_recipe
from scratchgrad.tools.curation.report import write_report_page
from scratchgrad.tools.curation.shards import read_documents
from scratchgrad.tools.curation.steps.terms import Terms
from tests.curation.corpora import unsynced  # noqa: F401
from tests.curation.curated import ODD_TEXTS, document, documents_of

RECORDS = [
    *[{"text": f"A muslim family number {n} met a darn kind neighbour in the old town.", "url": f"https://www.one.org/{n}"} for n in range(20)],
    *[{"text": f"A christian family number {n} met a kind neighbour in the old town.", "url": f"https://two.org/{n}"} for n in range(30)],
    *[{"text": f"Muslims number {n} pray at dawn here.", "url": "https://www.one.org/b"} for n in range(10)],
    {"text": "short", "url": "https://two.org/s"}, {"text": "Muslims number 3 pray at dawn here.", "language": "fr"},
]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bias")
    (folder / "en").write_text("darn\n")
    lines = [json.dumps(record) for record in RECORDS]
    (folder / "a.jsonl").write_text("\n".join(lines[:25]) + "\n")
    (folder / "b.jsonl").write_text("\n".join(lines[25:]) + "\n")
    (folder / "r.yaml").write_text(
        f"data: {{source: files, files: [{folder}/*.jsonl]}}\n"
        "curate: {steps: [terms, word_list, exact_dedup, length], unit_bytes: 10}\n"
        f"word_list: {{files: [{folder}/en]}}\nlength: {{min_words: 2}}\n"
    )
    recipe = load_recipe(str(folder / "r.yaml"))
    outs = [folder / "one", folder / "two"]
    for workers, out in enumerate(outs, 1):
        curate(recipe, out, ProcessPool(workers))
    return outs


def test_rates_by_hand(made):
    rates = {(rate.kind, rate.value): rate for rate in removal_rates(made[0])}
    assert rates["all", "all documents"] == Rate("all", "all documents", 62, 22, "word_list")
    assert rates["religion", "muslim"] == Rate("religion", "muslim", 31, 21, "word_list")
    assert rates["religion", "christian"] == Rate("religion", "christian", 30, 0, "")
    assert rates["domain", "one.org"] == Rate("domain", "one.org", 30, 20, "word_list")
    assert rates["domain", "two.org"] == Rate("domain", "two.org", 31, 1, "length")
    assert rates["language", "fr"].documents == 1
    assert rates["source", "files"].share == 22 / 62
    assert rates["religion", "muslim"].share == 21 / 31
    assert rates["listed word", "darn"] == Rate("listed word", "darn", 20, 20, "word_list")
    assert ("domain", "") not in rates


def test_rates_do_not_depend_on_workers(made):
    assert removal_rates(made[0]) == removal_rates(made[1])
    assert company(made[0]) == company(made[1])


def test_what_is_not_dropped_is_what_is_left(made):
    outcomes = Outcomes(made[0])
    kept = sum(int((outcomes.dropped_by(part.name) < 0).sum()) for part in outcomes.parts)
    left = [one for part in sorted((made[0] / "documents").iterdir()) for one in read_documents(part)]
    assert kept == len(left) == 40
    assert outcomes.steps == ["terms", "word_list", "exact_dedup", "length"]


def test_words_near_a_term_before_and_after(made):
    rows = {(row.term, row.word): row for row in company(made[0], most=20)}
    # before: 20 * (a; family number n met a) and 11 * (number n pray at dawn); after: 10 * the latter
    family = rows["muslim", "family"]
    assert family == Company("muslim", "family", 1000 * 20 / (20 * 6 + 11 * 5), 0)
    assert rows["muslim", "pray"].after == 1000 * 10 / (10 * 5)
    assert not [row for row in rows if row[0] == "christian"], "nothing changed there"
    assert [row.word for row in company(made[0])[:1]] == [
        max(rows, key=lambda row: abs(rows[row].after - rows[row].before))[1]
    ]


def test_nothing_of_it_stands_in_the_metadata(made):
    for part in (made[0] / "documents").iterdir():
        for one in read_documents(part):
            assert not {"found", "terms", "domain"} & one.metadata.keys()


def test_the_page_shows_it(made):
    page = write_report_page(made[0]).read_text()
    section = page.partition('id="whom-it-drops"')[2].partition("</section>")[0].replace(' class="number"', "")
    assert "Of all documents 35.5% were dropped" in section
    assert re.search(r"<td>muslim<span.*?</span></td><td>31</td><td>21 \(67.7%\)</td>", section)
    assert "<td>+32.3%</td><td>word_list</td>" in section
    assert "<td>muslim</td><td>family</td><td>114.3</td><td>0.0</td><td>\N{MINUS SIGN}114.3</td>" in section


def test_a_folder_that_is_no_curation_is_told(tmp_path):
    with pytest.raises(UserError):
        removal_rates(tmp_path)


def test_without_the_step_there_are_sources(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a muslim"}\n')
    (tmp_path / "r.yaml").write_text(f"data: {{source: files, files: [{tmp_path}/a.jsonl]}}\ncurate: {{steps: []}}\n")
    curate(load_recipe(str(tmp_path / "r.yaml")), tmp_path / "out", ProcessPool(1))
    assert [(rate.kind, rate.documents) for rate in removal_rates(tmp_path / "out")] == [("all", 1), ("source", 1)]
    assert company(tmp_path / "out") == []
    assert "whom-it-drops" not in write_report_page(tmp_path / "out").read_text()


def test_terms_are_counted_in_all_their_forms():
    step = Terms()
    batch = Batch(
        [document("Two Muslims and a muslim, y’all. African-American women; manned", url="https://www.A.org/x")]
    )
    values = {name: measured[0] for name, measured in step.measure(batch).items() if measured[0]}
    assert values == {"religion": 2, "dialect": 1, "ethnicity": 1, "gender": 1}
    labels = step.label(batch)
    assert labels["found"] == ["dialect:y'all 1; ethnicity:african american 1; gender:woman 1; religion:muslim 2"]
    assert labels["domain"] == ["a.org"]
    assert step.rules() == []


def test_our_list_is_sound():
    terms = group_terms(None)
    assert {"gender", "religion", "orientation", "ethnicity", "nationality", "dialect", "disability"} <= {*terms.kinds}
    for form, (kind, term) in terms.named.items():
        assert terms.count(f"so, {form}!") == {(kind, term): 1}, form


def test_a_list_of_the_user(tmp_path):
    path = tmp_path / "terms.tsv"
    path.write_text("# mine\nplace\t東京\t東京都\nplace\tParis\n")
    step = Terms(file=str(path))
    texts = ["東京都の天気 paris", *ODD_TEXTS]
    values = step.measure(Batch(documents_of(texts)))
    assert [*values] == ["place"]
    assert values["place"][0] == 2
    assert not np.isnan(values["place"]).any()
    assert step.paths() == [str(path)]
    for line in ("place", "a b\tx", "place\tx;y", "place\tx\ty\tz", "place\t"):
        bad = tmp_path / f"bad{len(line)}.tsv"
        bad.write_text(line + "\n")
        with pytest.raises(UserError, match="line 1"):
            group_terms(str(bad))


def test_labels_are_read_back():
    counts = {("gender", "woman"): 2, ("dialect", "y'all"): 1}
    assert written(counts) == "dialect:y'all 1; gender:woman 2"
    assert read_back(written(counts)) == [("dialect", "y'all"), ("gender", "woman")]
    assert read_back("") == []
