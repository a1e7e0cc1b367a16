"""Recipes: found by name, overridden, and every mistake told in one sentence that says what would fix it."""

import json
import re
import time
from contextlib import suppress

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import UserError
from scratchgrad.tools.recipes import parse, to_text
from scratchgrad.train.recipe import Recipe, check_ranks, check_resumable
from scratchgrad.train.recipe_files import build_recipe, load_recipe, packaged_recipes, to_described_yaml, to_yaml


def said(overrides=(), name="toy.yaml"):
    with pytest.raises(UserError) as told:
        load_recipe(str(name), overrides)
    return str(told.value)


@pytest.mark.parametrize("name", packaged_recipes())
def test_every_packaged_recipe_is_one_and_comes_back_from_what_is_printed(tmp_path, name):
    recipe = load_recipe(name)
    (tmp_path / "again.yaml").write_text(to_yaml(recipe))
    assert load_recipe(str(tmp_path / "again.yaml")) == recipe


def test_a_file_of_the_users_own_comes_before_a_packaged_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_recipe("toy") == load_recipe("toy.yaml")
    values = yaml.safe_load(to_yaml(load_recipe("toy.yaml")))
    values["train"]["steps"] = 77
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(values))
    assert load_recipe("toy.yaml").train.steps == 77


def test_overrides_are_yaml_values():
    recipe = load_recipe("toy.yaml", [
        "train.steps=60", "train.learning_rate=1e-3", "train.recompute=full", "log.run_dir=a=b", "train.patience=null",
        "model.num_hidden_layers=2", "data.source=files", "data.files=[a.txt, 'b c.md']", "train.weight_decay=0",
    ])  # fmt: skip
    assert (recipe.train.steps, recipe.train.learning_rate, recipe.train.recompute) == (60, 1e-3, "full")
    assert recipe.log.run_dir == "a=b"
    assert recipe.data.files == ["a.txt", "b c.md"]
    assert recipe.train.weight_decay == 0.0


@pytest.mark.parametrize(("overrides", "words"), [
    (["train.stepz=4"], "train.stepz is not a known key; did you mean train.steps?"),
    (["train.vocab_size=4"], "did you mean tokenizer.vocab_size?"),
    (["trian.steps=4"], "did you mean train"),
    (["model.hiden_size=4"], "model.hiden_size is not a key of a LlamaConfig; did you mean model.hidden_size?"),
    (["train.steps=many"], "train.steps = 'many': input should be a valid integer"),
    (["train.steps=4.5"], "train.steps = 4.5"),
    (["train.steps=true"], "train.steps = True"),
    (["train.steps=0"], "train.steps = 0: input should be greater than 0"),
    (["train.microbatches=3"], "train.microbatches = 3 is not a power of two"),
    (["train.batch_size=10"], "train.batch_size = 10 is not divisible by train.microbatches = 4"),
    (["train.recompute=some"], "train.recompute = 'some': input should be 'none', 'full', 'every' or 'attention'"),
    (["train.recompute=every"], "train.recompute_every = k belongs to train.recompute = every"),
    (["train.recompute_every=2"], "train.recompute_every = k belongs to train.recompute = every"),
    (["train.learning_rate=-1"], "train.learning_rate = -1"),
    (["train.learning_rate=.nan"], "train.learning_rate = nan"),
    (["train.learning_rate=.inf"], "train.learning_rate = inf"),
    (["train.dropout=1"], "train.dropout = 1"),
    (["data.source=files"], "data.source = files needs data.files"),
    (["data.files=[a.txt]"], "data.files is read only with data.source = files"),
    (["data.source=web"], "data.source = 'web' is not known; it is one of: curated, files, numbers, reverse, stdlib, stdlib_functions"),
    (["data.validation=0"], "data.validation = 0"),
    (["tokenizer.vocab_size=100"], "tokenizer.vocab_size = 100"),
    (["model.num_attention_heads=3"], "model.hidden_size = 128 is not divisible by 3 attention heads"),
    (["model.num_key_value_heads=3"], "not divisible by num_key_value_heads = 3"),
    (["model.max_position_embeddings=100"], "train.context = 256 is longer than model.max_position_embeddings = 100"),
    (["model.model_type=mamba"], "model.model_type = 'mamba' is not known; it is one of: "),
    (["model.architectures=[GPT2LMHeadModel]"], "model.architectures = ['GPT2LMHeadModel'] is not known for model_type llama; it is a list of one of: LlamaForCausalLM"),
    (["model.architectures=LlamaForCausalLM"], "it is a list of one of"),
    (["train.objective=masked_lm"], "train.objective = masked_lm: a LlamaForCausalLM can be trained for causal_lm"),
    (["train.objective=guess"], "train.objective = 'guess' is not known; it is one of: causal_lm, masked_lm, "),
    (["train.label_smoothing=1"], "train.label_smoothing = 1"),
    (["data.source=reverse"], "data.source = reverse has source and target, and train.objective = causal_lm reads text: data.source = curated or files or stdlib"),
    (["data.filez=[a.txt]"], "data.filez is not a known key; did you mean data.files?"),
    (["data.sources=[{source: files}]"], "data.sources[0].source = files needs data.sources[0].files"),
    (["data.sources=[{source: stdlib, wait: 2}]"], "data.sources[0].wait is not a known key; did you mean data.sources[0].weight?"),
    (["data.sources=[{source: stdlib, weight: 0}]"], "data.sources[0].weight = 0"),
    (["data.source=files", "data.files=[a.txt]", "data.sources=[{source: stdlib}]"], "data.sources stands instead of data.source"),
    (["data.sources=[{source: stdlib}, {source: numbers}]"], "data.source = numbers has source and target"),
    (["steps=4"], "'steps=4' is not an override; they look like train.steps=40"),
    (["train.steps"], "is not an override"),
    (["train.steps=[1"], "'[1' is not a YAML value"),
    (["data.files=[*.txt, a]"], 'a glob that begins with * stands in quotes: ["*.txt"]'),
])  # fmt: skip
def test_a_mistake_is_told_with_what_would_fix_it(overrides, words):
    assert words in said(overrides)


def test_all_mistakes_are_told_at_once():
    told = said(["train.stepz=4", "train.batch_sise=8"])
    assert "train.steps?" in told
    assert "train.batch_size?" in told


@pytest.mark.parametrize(("text", "words"), [
    ("", "is not a recipe: it needs sections"),
    ("- a", "is not a recipe"),
    ("model: 3", "is not a recipe"),
    ("train: {steps: 4}", "model is missing"),
    ("model: [", "is not YAML"),
    ("model: {model_type: llama}\nmodel: {}", "'model' stands there twice"),
    ("train: {steps: 4, steps: 5}", "'steps' stands there twice"),
    ("model: !!python/object/apply:os.getcwd []", "is not YAML"),
    ("model: &a {x: *a}", "is not YAML|is not a key|is not known"),
    ("? [1, 2]\n: 3", "a key is not a name"),
    ("model: " + "[" * 100_000, "nested too deeply"),
])  # fmt: skip
def test_a_file_that_is_no_recipe(tmp_path, text, words):
    import re

    (tmp_path / "r.yaml").write_text(text)
    assert re.search(words, said(name=tmp_path / "r.yaml"))


def test_files_that_cannot_be_read(tmp_path):
    assert "no packaged recipe of that name: " in said(name="nothing.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"model: caf\xe9")
    assert "cannot be read" in said(name=tmp_path / "latin.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * (2 << 20))
    assert "that is no recipe" in said(name=tmp_path / "large.yaml")


def section_of(text, section):
    return re.search(rf"^{section}:.*\n((?: .*\n)*)", text, re.MULTILINE)[1]


def test_a_printed_recipe_says_what_each_key_means_and_loads_back():
    for name in packaged_recipes():
        recipe = load_recipe(name)
        text = to_described_yaml(recipe)
        assert build_recipe(parse(text), name) == recipe
        for section, field in Recipe.model_fields.items():
            assert field.description in text
            for key, known in getattr(field.annotation, "model_fields", {}).items():
                assert known.description, f"{section}.{key} has no description"
                (line,) = re.findall(rf"^  {key}: .*$", section_of(text, section), re.MULTILINE)
                assert f"# {known.description}"[:30] in line
    assert "# where each rank computes; cpu | cuda" in text


@given(
    st.text(min_size=1).filter(lambda text: text.isprintable()),
    st.lists(st.sampled_from(["a", "*.txt", "b: c", "# d", "e\tf"])),
)
def test_any_values_load_back_from_a_described_recipe(pattern, files):
    source = {"source": "files", "files": files} if files else {}
    recipe = Recipe(
        model=load_recipe("toy.yaml").model, tokenizer={"pattern": pattern}, data=source, train={"context": 64}
    )
    assert build_recipe(parse(to_described_yaml(recipe)), "x") == recipe


def test_files_may_be_one_glob_and_places_may_begin_with_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    for glob in ("texts/*.txt", "*.txt", "**/*.md", "~/texts", "a b"):
        recipe = load_recipe("toy.yaml", ["data.source=files", f"data.files={glob}"])
        assert recipe.data.files == [glob]
    several = load_recipe("toy.yaml", ["data.source=files", "data.files=[a.txt, b]"])
    assert several.data.files == ["a.txt", "b"]
    one = load_recipe("toy.yaml", ["data.sources=[{source: files, files: a.txt}, {source: stdlib}]"])
    assert one.data.sources[0].files == ["a.txt"]
    places = load_recipe("toy.yaml", ["tokenizer.path=~/t.json", "log.run_dir=~/run", "data.cache_dir=~/data"])
    assert (places.tokenizer.path, places.log.run_dir, places.data.cache_dir) == (
        "/home/me/t.json",
        "/home/me/run",
        "/home/me/data",
    )


def test_an_alias_bomb_is_refused_at_its_first_anchor(tmp_path):
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40)]
    (tmp_path / "bomb.yaml").write_text("model:\n" + "\n".join(f"  {line}" for line in lines))
    assert "anchors and aliases) have no place here; put a text into quotes, line 2" in said(
        name=tmp_path / "bomb.yaml"
    )


@pytest.mark.parametrize(("override", "words"), [
    ("train.learning_rate=2026-13-45", "train.learning_rate = '2026-13-45': input should be a valid number"),
    ("train.learning_rate=2026-11-27", "train.learning_rate = '2026-11-27': input should be a valid number"),
    ("train.learning_rate=!!timestamp x", "! (a tag) has no place here"),
    ("train.learning_rate=!!float x", "! (a tag) has no place here"),
    ("checkpoint.keep_best=!!bool maybe", "! (a tag) has no place here"),
    ("train.steps=! 4", "! (a tag) has no place here"),
    ("train.steps=&a 4", "anchors and aliases"),
    ("train.steps=*a", "anchors and aliases"),
    ("train.steps=010", "train.steps = '010': input should be a valid integer"),
    ("train.steps=1:30", "train.steps = '1:30': input should be a valid integer"),
    ("train.steps=" + "9" * 5000, "input should be a valid integer"),
    ("train.steps=" + "[" * 1000, "it is nested too deeply"),
    ("data.files=" + "{a: " * 1000, "it is nested too deeply"),
    ('data.cache_dir="a\\0b"', "a text has the character U+0000, which cannot be printed"),
    ('data.cache_dir="\\x1b[2J"', "a text has the character U+001B"),
    ('data.cache_dir="\\ud800"', "a text has the character U+D800"),
    ("data.cache_dir=a\udce9", "the character U+DCE9 at 1 is none of YAML"),
    ("train.a\udce9=3", "should be a valid string"),
    ("train.steps={<<: {a: 1}}", "train.steps = {'<<': {'a': 1}}: input should be a valid integer"),
    ("train.steps={1: 2}", "a key is not a name"),
    ("train.steps=1\n---\n2", "found another document, line 2"),
    ("tokenizer.vocab_size='" + "x" * 9999 + "'", "input should be a valid integer"),
])  # fmt: skip
def test_strange_yaml_is_a_short_sentence(override, words):
    told = said([override])
    assert words in told
    assert len(told) < 300
    told.encode()  # can be printed


@pytest.mark.parametrize(
    "text", ["1_" * 60_000, "0." + "0_" * 60_000, "? " * 60_000, "{" + "a" * 120_000, "-" * 120_000]
)
def test_no_text_takes_long(text):
    began = time.process_time()
    with suppress(ValueError):
        parse(text)
    assert time.process_time() - began < 3


def test_many_mistakes_are_not_all_told(tmp_path):
    keys = "".join(f"  key{number}: 1\n" for number in range(500))
    (tmp_path / "r.yaml").write_text("model: {model_type: llama}\ntrain:\n" + keys)
    told = said(name=tmp_path / "r.yaml")
    assert "and 490 more" in told
    assert len(told.splitlines()) == 11


PRINTABLE = st.text(st.characters(exclude_categories=("Cc", "Cs")))


@given(st.recursive(
    st.none() | st.booleans() | st.integers(-10**20, 10**20) | st.floats(allow_nan=False) | PRINTABLE
    | st.sampled_from(["1e3", "010", "0x1F", "yes", "2026-11-27", "<<", "=", "~", "", "1_0", ".5", "-.inf", "1:30"]),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(PRINTABLE, values, max_size=3), max_leaves=8,
))  # fmt: skip
def test_what_is_written_is_read_as_the_same(value):
    assert parse(to_text({"x": value, "again": value})) == {"x": value, "again": value}


@given(st.text(st.sampled_from("&*!|>%@`'\"{}[]:,#-?~ \n\tab01.eE_<=\0\ud800\x85"), max_size=40))
def test_any_text_is_a_value_or_a_sentence(text):
    told = ""
    try:
        json.dumps(parse(text))
    except ValueError as error:
        told = str(error)
    assert "\n" not in told
    assert len(told) < 250


@pytest.mark.parametrize("override", ["train.steps=900", "train.threads=1", "train.recompute=full", "log.every_steps=5",
                                      "checkpoint.keep_last=9", "train.eval_every=7"])  # fmt: skip
def test_a_run_may_go_on_with_more_steps_or_in_less_memory(override):
    check_resumable(load_recipe("toy.yaml"), load_recipe("toy.yaml", [override]))


@pytest.mark.parametrize("override", ["train.seed=1", "train.batch_size=32", "train.microbatches=8", "model.hidden_size=64",
                                      "tokenizer.vocab_size=512", "train.learning_rate=1e-4"])  # fmt: skip
def test_a_run_goes_on_with_the_mathematics_it_began_with(override):
    with pytest.raises(UserError, match=override.partition("=")[0]):
        check_resumable(load_recipe("toy.yaml"), load_recipe("toy.yaml", [override]))


@pytest.mark.parametrize(("size", "fits"), [(1, True), (2, True), (3, True), (4, True), (5, False), (8, False)])
def test_every_rank_needs_a_microbatch(size, fits):
    recipe = load_recipe("toy.yaml")
    if fits:
        check_ranks(recipe, size)
    else:
        with pytest.raises(UserError, match=f"{size} ranks are more than train.microbatches = 4"):
            check_ranks(recipe, size)


def test_the_id_of_padding_goes_into_every_config_that_has_a_place_for_it():
    assert load_recipe("bert-toy").model_config_for(300, pad=1).pad_token_id == 1
    assert load_recipe("bert-toy", ["model.pad_token_id=2"]).model_config_for(300, pad=1).pad_token_id == 2
    assert "pad_token_id" not in load_recipe("toy").model_config_for(300, pad=1).model_dump()


def test_the_architecture_of_a_recipe_says_what_it_is_trained_for():
    assert load_recipe("bert-toy", ["train.objective=null"]).objective == "masked_lm_next_sentence"
    tokens = load_recipe("bert-toy", ["model.architectures=[BertForMaskedLM]", "train.objective=null"])
    assert (tokens.family.architecture, tokens.objective) == ("BertForMaskedLM", "masked_lm")
    assert load_recipe("t5-toy", ["data.source=numbers", "train.objective=seq2seq"]).objective == "seq2seq"


@pytest.mark.parametrize(("overrides", "words"), [
    (["train.shards=8"], "toy.yaml: train.shards is now called train.microbatches"),
    (["data.held_out=0.1"], "data.held_out is now called data.validation"),
    (["model.label_smoothing=0.1"], "model.label_smoothing is now called train.label_smoothing"),
    (["train.objective=causal"], "train.objective = causal is now called causal_lm"),
    (["train.objective=masked"], "train.objective = masked is now called masked_lm"),
    (["train.objective=masked_next_sentence"], "masked_next_sentence is now called masked_lm_next_sentence"),
    (["train.objective=spans"], "train.objective = spans is now called span_corruption"),
    (["train.objective=pairs"], "train.objective = pairs is now called seq2seq"),
    (["train.shards=8", "data.held_out=0.1"], "called train.microbatches; data.held_out is now called"),
])  # fmt: skip
def test_an_old_name_is_refused_with_the_new_one(overrides, words):
    told = said(overrides)
    assert words in told
    assert len(told) < 300


def test_a_run_whose_recipe_has_old_names_is_not_resumed_and_says_why(tmp_path):
    values = yaml.safe_load(to_yaml(load_recipe("toy.yaml")))
    values["train"]["shards"] = values["train"].pop("microbatches")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values))
    assert "train.shards is now called train.microbatches" in said(name=tmp_path / "recipe.yaml")


def test_several_sources_have_weights_and_come_back_from_what_is_printed(tmp_path):
    sources = "data.sources=[{source: files, files: [a.txt], weight: 2}, {source: stdlib}]"
    recipe = load_recipe("toy.yaml", [sources])
    assert recipe.data.weights == [2.0, 1.0]
    assert [source.build().name for source in recipe.data.all_sources] == ["files", "stdlib"]
    (tmp_path / "again.yaml").write_text(to_yaml(recipe))
    assert load_recipe(str(tmp_path / "again.yaml")) == recipe
    assert load_recipe("toy.yaml").data.weights == [1.0]
