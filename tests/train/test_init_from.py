"""Training that begins from a model: what comes along, what is drawn anew, what is told, and what is refused."""

import json
import shutil

import numpy as np
import pytest

from scratchgrad import UserError, manual_seed, models
from scratchgrad.files import map_tensors
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.tokenizer import train_bpe
from scratchgrad.train import metrics
from scratchgrad.train.data import prepare_data
from scratchgrad.train.init_from import start_from
from scratchgrad.train.recipe_files import load_recipe
from scratchgrad.train.setup import build_model
from tests.pages import file_on
from tests.train.fine_tuning import refused, resumed, train, weights, write_recipe, write_source
from tests.train.objectives.small import ARCHITECTURES, LABELS, WORDS, small

# By what is trained: the architecture to begin from, and the objective.
WAYS = {
    "llama": ("LlamaForCausalLM", "causal_lm"),
    "gpt2": ("GPT2LMHeadModel", "causal_lm"),
    "mixtral": ("MixtralForCausalLM", "causal_lm"),
    "bert": ("BertForPreTraining", "masked_lm_next_sentence"),
    "t5": ("T5ForConditionalGeneration", "span_corruption"),
    "transformer": ("Transformer", "seq2seq"),
    "llama classifies": ("LlamaForCausalLM", "sequence_classification"),
    "gpt2 classifies": ("GPT2LMHeadModel", "sequence_classification"),
    "t5 classifies": ("T5ForConditionalGeneration", "sequence_classification"),
    "bert classifies": ("BertForMaskedLM", "sequence_classification"),
    "bert tags": ("BertForMaskedLM", "token_classification"),
    "bert answers": ("BertForPreTraining", "question_answering"),
}


@pytest.mark.parametrize("trainable", ["all", "head"])
@pytest.mark.parametrize("way", WAYS)
def test_three_steps_and_a_resume_with_the_same_bits(way, trainable, tmp_path):
    architecture, objective = WAYS[way]
    write_source(tmp_path / "source", architecture)
    model = {"model": {"id2label": LABELS}} if "classif" in objective else {}
    recipe = write_recipe(tmp_path, tmp_path / "source", objective, train={"trainable": trainable}, **model)
    if (way, trainable) == ("transformer", "head"):
        assert "has no head of its own: the output layer is the embedding (they are tied)" in refused(recipe)
        return
    train(recipe)
    shutil.rmtree(tmp_path / "source")  # a run that has a checkpoint needs it no more
    copy = resumed(tmp_path / "run")
    assert weights(copy) == weights(tmp_path / "run")
    assert len({weights(tmp_path / "run", step)["model.safetensors"] for step in (2, 3)}) == 2  # it moves


def first_weights(recipe):
    """The model as it stands before the first step, and the lines that were told of it."""
    resolved = load_recipe(str(recipe))
    model = build_model(resolved, prepare_data(resolved, lambda _: None).tokenizer)
    return model, start_from(model, resolved)


def test_weights_come_along_and_a_head_is_drawn_by_the_seed_and_its_name(tmp_path):
    source = write_source(tmp_path / "source", "BertForPreTraining")
    recipe = write_recipe(tmp_path, tmp_path / "source", "sequence_classification", model={"id2label": LABELS})
    model, lines = first_weights(recipe)
    old, new = source.state_dict(), model.state_dict()
    assert [name for name in new if name not in old] == ["classifier.weight", "classifier.bias"]
    assert all(np.array_equal(old[name], new[name]) for name in new if name in old)
    manual_seed(load_recipe(str(recipe)).train.seed)
    fresh = models.build(model.config, architectures=["BertForSequenceClassification"]).state_dict()
    assert np.array_equal(fresh["classifier.weight"], new["classifier.weight"])
    told = "\n".join(lines)
    assert "drawn anew for the head of a BertForSequenceClassification: classifier.weight, classifier.bias" in told
    assert "not used of the BertForPreTraining: " in told
    assert "cls.seq_relationship.weight" in told or "more" in told


def test_a_head_of_another_number_of_labels_is_drawn_anew_and_told(tmp_path):
    write_source(tmp_path / "source", "BertForSequenceClassification")
    same, _ = first_weights(write_recipe(tmp_path, tmp_path / "source", "sequence_classification"))
    assert same.config.id2label == LABELS
    recipe = write_recipe(
        tmp_path, tmp_path / "source", "sequence_classification", model={"id2label": {**LABELS, "3": "best"}}
    )
    other, lines = first_weights(recipe)
    assert other.classifier.weight.shape[0] == 4
    assert "drawn anew for the head" in lines[1]
    assert np.array_equal(same.pooler.weight.data, other.pooler.weight.data)


def test_the_vocabulary_grows_by_rows_that_are_the_mean_of_the_old(tmp_path):
    source = write_source(tmp_path / "source", "LlamaForCausalLM")
    recipe = write_recipe(tmp_path, tmp_path / "source", "causal_lm", tokenizer={"add_tokens": ["<|user|>", "<|end|>"]})
    model, lines = first_weights(recipe)
    old = source.config.vocab_size
    assert model.config.vocab_size == old + 2
    for layer in ("embed_tokens", "lm_head"):
        before, now = getattr(source, layer).weight.data, getattr(model, layer).weight.data
        assert np.array_equal(now[:old], before)
        assert np.allclose(now[old:], before.mean(axis=0), atol=1e-7)
    assert f"the vocabulary grows from {old} to {old + 2} tokens" in lines[1]
    train(recipe)
    kept = tokenizers.load(tmp_path / "run" / "checkpoints" / "step-3")
    assert kept.special_tokens["<|end|>"] == old + 1
    assert weights(resumed(tmp_path / "run")) == weights(tmp_path / "run")


def test_a_decoder_that_classifies_gets_the_token_that_fills_rows_up_and_no_other(tmp_path):
    write_source(tmp_path / "source", "GPT2LMHeadModel")
    recipe = load_recipe(str(write_recipe(tmp_path, tmp_path / "source", "sequence_classification")))
    assert recipe.tokenizer.add_tokens == ["[PAD]"]
    assert recipe.model["architectures"] == ["GPT2ForSequenceClassification"]


def test_the_recipe_says_where_it_began_and_a_changed_source_is_noticed(tmp_path):
    write_source(tmp_path / "source", "LlamaForCausalLM")
    path = write_recipe(tmp_path, tmp_path / "source", "causal_lm")
    recipe = load_recipe(str(path))
    assert recipe.train.learning_rate == pytest.approx(1e-4)
    assert (recipe.train.warmup_steps, recipe.train.init_from) == (0, str(tmp_path / "source"))
    train(path)
    again = load_recipe(str(tmp_path / "run" / "recipe.yaml"))
    assert again == recipe
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    train("--resume", tmp_path / "run")  # from its beginning: the source is what it was
    write_source(tmp_path / "source", "LlamaForCausalLM", hidden_size=16, rms_norm_eps=1e-3)
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    assert "is not the one that this recipe began with" in refused("--resume", tmp_path / "run")
    assert "train.init_from" in refused("--resume", tmp_path / "run", f"train.init_from={tmp_path}")


def test_a_damaged_tokenizer_of_a_checkpoint_leads_to_the_one_before(tmp_path):
    write_source(tmp_path / "source", "LlamaForCausalLM")
    train(write_recipe(tmp_path, tmp_path / "source", "causal_lm"))
    (tmp_path / "run" / "checkpoints" / "step-3" / "tokenizer.json").write_text("{")
    assert "go on from the one before it" in refused("--resume", tmp_path / "run")
    train("--resume", tmp_path / "run", "--checkpoint", "step-2")


def test_a_run_a_checkpoint_and_a_bin_file_are_begun_from(tmp_path):
    write_source(tmp_path / "source", "LlamaForCausalLM", tie_word_embeddings=True, rms_norm_eps=1e-5)
    train(write_recipe(tmp_path, tmp_path / "source", "causal_lm"))
    checkpoint = tmp_path / "run" / "checkpoints" / "step-3"
    trained = map_tensors(checkpoint / "model.safetensors")
    models.write_llama2c(models.load(checkpoint), tmp_path / "model.bin")
    shutil.copy(checkpoint / "tokenizer.json", tmp_path)
    for source in (tmp_path / "run", checkpoint, tmp_path / "model.bin"):
        model, _ = first_weights(write_recipe(tmp_path, source, "causal_lm"))
        assert np.array_equal(model.embed_tokens.weight.data, trained["model.embed_tokens.weight"])


def test_texts_begin_as_those_that_a_decoder_was_trained_on_and_the_next_run_knows(tmp_path):
    tokenizer = train_bpe([" ".join(WORDS)], 400, special_tokens=("<|endoftext|>", "<s>"))
    end, begin = (tokenizer.special_tokens[name] for name in ("<|endoftext|>", "<s>"))
    write_source(tmp_path / "source", "LlamaForCausalLM", tokenizer)
    train(write_recipe(tmp_path, tmp_path / "source", "causal_lm"))
    recipe = load_recipe(str(tmp_path / "run" / "recipe.yaml"))
    assert recipe.tokenizer.begin == "<s>"
    ids = prepare_data(recipe, lambda _: None).train[0].tokens
    assert ids[0] == begin
    assert end not in ids
    told = json.loads((tmp_path / "run" / "checkpoints" / "step-3" / "generation_config.json").read_text())
    assert (told["bos_token_id"], told["eos_token_id"]) == (begin, [begin, end])
    again = load_recipe(str(write_recipe(tmp_path, tmp_path / "run", "causal_lm")))
    assert again.tokenizer.begin == "<s>"
    assert weights(resumed(tmp_path / "run")) == weights(tmp_path / "run")


@pytest.mark.parametrize(("sections", "words"), [
    ({"tokenizer": {"vocab_size": 400}}, "tokenizer.vocab_size has no place beside train.init_from"),
    ({"model": {"hidden_size": 64}}, "model.hidden_size = 64, but the model in"),
    ({"model": {"hiden_size": 16}}, "model.hiden_size is not a key of a LlamaConfig"),
    ({"train": {"objective": "masked_lm"}}, "a LlamaForCausalLM can be trained for causal_lm"),
    ({"train": {"init_from": "nowhere"}}, "'nowhere' does not exist"),
    ({"train": {"init_sha256": "00"}}, "model is missing"),
    ({"train": {"context": 65}}, "train.context = 65 is longer than model.max_position_embeddings = 64"),
    ({"tokenizer": {"add_tokens": [""]}}, "'' cannot be added as a special token"),
    ({"tokenizer": {"add_tokens": "x"}}, "tokenizer.add_tokens = 'x'"),
])  # fmt: skip
def test_what_does_not_go_together_is_told(sections, words, tmp_path):
    write_source(tmp_path / "source", "LlamaForCausalLM")
    told = refused(write_recipe(tmp_path, tmp_path / "source", "causal_lm", **sections))
    assert words in told
    assert len(told.removeprefix(f"Error: {tmp_path}").replace(str(tmp_path), "")) < 300


def test_a_model_without_a_tokenizer_is_given_one(tmp_path):
    write_source(tmp_path / "source", "LlamaForCausalLM")
    (tmp_path / "source" / "tokenizer.json").rename(tmp_path / "t.json")
    recipe = write_recipe(tmp_path, tmp_path / "source", "causal_lm")
    assert "there is no tokenizer beside" in refused(recipe)
    train(recipe, f"tokenizer.path={tmp_path / 't.json'}")


def test_the_models_own_values_may_be_repeated(tmp_path):
    write_source(tmp_path / "source", "LlamaForCausalLM")
    config = json.loads((tmp_path / "source" / "config.json").read_text())
    sizes = {name: config[name] for name in ("model_type", "hidden_size", "num_hidden_layers")}
    load_recipe(str(write_recipe(tmp_path, tmp_path / "source", "causal_lm", model=sizes)))


def test_from_a_directory_that_transformers_made(tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch = pytest.importorskip("torch", reason="torch is not installed")
    write_source(tmp_path / "source", "BertForMaskedLM")
    tokenizer = tokenizers.load(tmp_path / "source")
    config = transformers.BertConfig(
        vocab_size=tokenizer.vocab_size + 3, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=32, pad_token_id=tokenizer.padding,
    )  # fmt: skip
    torch.manual_seed(0)
    theirs = transformers.BertForMaskedLM(config)
    theirs.save_pretrained(tmp_path / "theirs")
    tokenizers.save(tokenizer, tmp_path / "theirs")
    recipe = write_recipe(tmp_path, tmp_path / "theirs", "sequence_classification", model={"id2label": LABELS})
    model, lines = first_weights(recipe)
    assert model.config.vocab_size == tokenizer.vocab_size + 3  # rows that no token has stay
    assert np.array_equal(model.embed_tokens.weight.data, theirs.bert.embeddings.word_embeddings.weight.detach())
    assert "bert.pooler.dense.weight" in lines[1]
    train(recipe)
    assert weights(resumed(tmp_path / "run")) == weights(tmp_path / "run")
    opened = transformers.BertForSequenceClassification.from_pretrained(tmp_path / "run" / "checkpoints" / "step-3")
    assert opened.config.num_labels == 3


def test_the_page_on_fine_tuning_does_what_it_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    write_source(tmp_path / "runs" / "bert-toy-001", "BertForPreTraining")
    (tmp_path / "reviews").mkdir()
    rows = [{"text": f"the {word} sat", "label": f"{sign}tive"} for word in WORDS * 3 for sign in ("posi", "nega")]
    (tmp_path / "reviews" / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "sentiment.yaml").write_text(file_on("docs/fine-tuning.md", "sentiment.yaml"))
    for trainable in ("head", "last:1", "[encoder.layers.0.*, 'classifier.*', '!*.bias']"):
        told = train("sentiment.yaml", "--dry-run", "train.threads=1", f"train.trainable={trainable}")
        assert "of them trained" in told
    train("sentiment.yaml", "train.steps=2", "train.threads=1")


def test_a_weight_of_the_body_that_is_not_there_or_left_over_is_an_error():
    _, model = small("masked_lm", "BertForMaskedLM", num_hidden_layers=2)
    _, target = small("sequence_classification", "BertForSequenceClassification", num_hidden_layers=1)
    with pytest.raises(UserError, match=r"'encoder\.layer\.1\.\S+' is left over; .*; and \d+ more"):
        models.match_weights(model, target)
    with pytest.raises(UserError, match=r"cannot begin a BertForMaskedLM: .*'bert\.encoder\.layer\.1\.\S+' is missing"):
        models.transfer_weights(target, model)


def test_the_next_run_begins_where_the_last_one_ended(tmp_path):
    write_source(tmp_path / "source", "BertForSequenceClassification")
    recipe = write_recipe(tmp_path, tmp_path / "source", "sequence_classification", train={"learning_rate": 1e-2})
    train(recipe, "train.steps=40", "train.batch_size=16", "checkpoint.every_steps=40", "train.eval_every=40")
    first = metrics.read(tmp_path / "run" / "metrics.jsonl")
    train(write_recipe(tmp_path, tmp_path / "run", "sequence_classification"), f"log.run_dir={tmp_path / 'more'}")
    assert metrics.read(tmp_path / "more" / "metrics.jsonl")[0]["loss"] < 0.8 * first[0]["loss"]


def test_a_published_bin_file_of_llama2c_is_trained_further(data_folder, tmp_path):
    stories = data_folder / "02_models" / "stories260K"
    recipe = write_recipe(tmp_path, stories / "stories260K.bin", "causal_lm", train={"trainable": "last:1"})
    told = train(recipe)
    assert "beginning from" in told
    resolved = load_recipe(str(tmp_path / "run" / "recipe.yaml"))
    assert (resolved.tokenizer.begin, resolved.model["vocab_size"]) == ("<s>", 512)
    assert weights(resumed(tmp_path / "run")) == weights(tmp_path / "run")


def test_a_tokenizer_that_is_learnt_or_given_gets_tokens_too(tmp_path):
    write_source(tmp_path / "source", "LlamaForCausalLM")
    values = json.loads((write_recipe(tmp_path, tmp_path / "source", "causal_lm")).read_text())
    del values["train"]["init_from"]
    values["model"] = ARCHITECTURES["LlamaForCausalLM"][0]
    for tokenizer in ({"vocab_size": 300}, {"path": str(tmp_path / "source" / "tokenizer.json")}):
        values["tokenizer"] = {**tokenizer, "add_tokens": ["<|user|>"]}
        (tmp_path / "fresh.yaml").write_text(json.dumps(values))
        prepared = prepare_data(load_recipe(str(tmp_path / "fresh.yaml")), lambda _: None)
        assert "<|user|>" in prepared.tokenizer.special_tokens
        train(tmp_path / "fresh.yaml", f"log.run_dir={prepared.folder}-run")
