"""All steps on harm, bias and mixture in one recipe: the same bytes for any number of workers, and one page."""

import json

import pytest

pytest.importorskip("zstandard", reason="the extra curate is not installed")
pytest.importorskip("pyarrow", reason="the extra curate is not installed")

from scratchgrad.tools.curation.bias import removal_rates
from scratchgrad.tools.curation.engine import curate
from scratchgrad.tools.curation.explain import explain
from scratchgrad.tools.curation.linear_classifier import Training, save_classifier, train_classifier
from scratchgrad.tools.curation.pool import ProcessPool
from scratchgrad.tools.curation.recipe import load_recipe
from scratchgrad.tools.curation.report import write_report_page
from scratchgrad.tools.curation.shards import read_documents
from tests.curation.corpora import unsynced  # noqa: F401
from tests.curation.test_linear_classifier import BAD, GOOD

STEPS = "terms, word_list_sentences, word_list, classifier, toxicity, trust, mixture"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("harm")
    training = Training(bits=12, epochs=3, holdout=0.2)
    save_classifier(folder / "filter", *_trained(training))
    (folder / "en").write_text("darn\nheck\n")
    (folder / "trust.csv").write_text("bad.org,0.1\n")
    (folder / "dois.txt").write_text("10.1000/ab\n")
    texts = {
        "web": [f"{GOOD[n]}. A woman said darn it. She left. See 10.1000/ab." for n in range(40)] + BAD[:30],
        "books": [f"{GOOD[n]} in a book by a muslim" for n in range(40, 60)],
    }
    for name, own in texts.items():
        for part in range(3):
            rows = [
                json.dumps(
                    {"text": text, "url": f"http://{'bad' if n % 5 == 0 else 'ok'}.org/{n}", "date": "2020-07-01"}
                )
                for n, text in enumerate(own)
                if n % 3 == part
            ]
            (folder / f"{name}{part}.jsonl").write_text("\n".join(rows) + "\n")
    (folder / "r.yaml").write_text(
        f"data: {{sources: [{{name: web, source: files, files: [{folder}/web*]}}, {{name: books, source: files, files: [{folder}/books*]}}]}}\n"
        f"curate: {{steps: [{STEPS}], unit_bytes: 100}}\n"
        f"word_list: {{files: [{folder}/en]}}\nword_list_sentences: {{files: [{folder}/en]}}\n"
        f"classifier: {{model: {folder}/filter}}\ntoxicity: {{model: {folder}/filter, min_probability: 0.01}}\n"
        f"trust: {{table: {folder}/trust.csv, retracted_dois: {folder}/dois.txt, min_trust: 0.5}}\n"
        "mixture: {weights: {web: 0.5, books: 0.5}}\n"
    )
    return load_recipe(str(folder / "r.yaml"))


def _trained(training):
    model, quality = train_classifier(GOOD, BAD, training)
    return model, training, quality


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_any_number_of_workers_gives_the_same_bytes(recipe, tmp_path):
    for workers in (1, 3):
        curate(recipe, tmp_path / str(workers), ProcessPool(workers))
    out = tmp_path / "1"
    assert contents(out) == contents(tmp_path / "3")
    left = [one for part in sorted((out / "documents").iterdir()) for one in read_documents(part)]
    assert not [one for one in left if "darn" in one.text or "pills" in one.text or "bad.org" in one.metadata["url"]]
    assert {one.source for one in left} == {"web", "books"}
    manifest = json.loads((out / "manifest.json").read_text())
    read = {(file["source"], file["path"].rpartition("/")[2]) for file in manifest["inputs"]}
    assert {
        ("word_list", "en"),
        ("classifier", "model.safetensors"),
        ("toxicity", "config.json"),
        ("trust", "dois.txt"),
    } <= read
    rates = {(rate.kind, rate.value): rate for rate in removal_rates(out)}
    assert rates["domain", "bad.org"].share == 1
    assert rates["all", "all documents"].documents == 90
    page = write_report_page(out).read_text()
    for shown in ("Whom it drops", "data.sources of a training recipe", "bits before", "has &#x27;darn&#x27;"):
        assert shown in page
    told = "\n".join(explain(out, next(one.id for one in left if one.source == "web")))
    assert "trust.cites_retracted = 1" in told
    assert "word_list_sentences removed 'A woman said darn it.': has 'darn'" in told
    assert "terms.found = gender:she 1; gender:woman 1" in told
