"""Lists that a user gives to a step are inputs as the sources are."""

import hashlib
import json

import pytest
from click.testing import CliRunner

from scratchgrad.errors import UserError
from scratchgrad.tools.commands.curate import main
from scratchgrad.tools.curation.engine import curate
from scratchgrad.tools.curation.pool import ProcessPool
from scratchgrad.tools.curation.recipe import load_recipe
from scratchgrad.tools.curation.resuming import compare_inputs
from scratchgrad.tools.curation.step import step_class

pytest.importorskip("zstandard", reason="the extra curate is not installed")
pytest.importorskip("pyarrow", reason="the extra curate is not installed")


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "Teh text.", "url": "https://bad.org"}) + "\n")
    (tmp_path / "pairs.txt").write_text("teh the\n")
    (tmp_path / "r.yaml").write_text(
        f"data: {{source: files, files: [{tmp_path}/a.jsonl]}}\ncurate: {{steps: [url, misspellings]}}\n"
        f"misspellings: {{file: {tmp_path}/pairs.txt}}\nurl: {{domains: [other.org]}}\n"
    )
    return load_recipe(str(tmp_path / "r.yaml"))


def test_the_manifest_has_them(recipe, tmp_path):
    curate(recipe, tmp_path / "out", ProcessPool(1))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    (pairs,) = [file for file in manifest["inputs"] if file["path"].endswith("pairs.txt")]
    assert pairs["source"] == "misspellings"
    assert pairs["sha256"] == hashlib.sha256(b"teh the\n").hexdigest()


def test_one_that_changed_is_told(tmp_path):
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("teh the\n")
    state = tmp_path / "out" / "work" / "inputs.json"
    state.parent.mkdir(parents=True)
    compare_inputs([("misspellings", pairs)], state)
    compare_inputs([("misspellings", pairs)], state)
    pairs.write_text("teh then\n")
    with pytest.raises(UserError, match=r"pairs\.txt' has changed since the work"):
        compare_inputs([("misspellings", pairs)], state)


def test_one_that_is_not_there_is_told(recipe, tmp_path):
    (tmp_path / "pairs.txt").unlink()
    with pytest.raises(UserError, match=r"pairs\.txt': No such file"):
        curate(recipe, tmp_path / "out", ProcessPool(1))


@pytest.mark.parametrize(("name", "words"), [
    ("gopher_qualty", "there is no step 'gopher_qualty'; did you mean gopher_quality"),
    ("xyzxyz", "there is no step 'xyzxyz'; there are: boilerplate_lines, "),
    ("x" * 400, "there is no step 'xxx"),
])  # fmt: skip
def test_a_step_that_is_none_is_told_in_a_short_sentence(name, words):
    with pytest.raises(UserError) as caught:
        load_recipe("gopher", [f"curate.steps=[{name}]"])
    assert words in str(caught.value)
    assert len(str(caught.value)) <= 300
    with pytest.raises(UserError) as caught:
        step_class(name)
    assert words in str(caught.value)


def test_the_help_of_a_refilter_does_not_promise_a_folder():
    ran = CliRunner().invoke(main, ["refilter", "--help"])
    assert "Where to: the folder of the new outcome." in ran.output
