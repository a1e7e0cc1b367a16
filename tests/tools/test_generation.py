"""Generation: the cache changes nothing, draws depend on their place alone, and text appears when it is certain."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import Tensor, UserError, manual_seed, models, no_grad
from scratchgrad.tools.generation import generate_ids, stream_text
from scratchgrad.tools.sampling import Sampling
from scratchgrad.tools.tokenizer import train_bpe

GREEDY = Sampling(temperature=0)
CLEAR = 1e-3  # a margin between the two likeliest tokens that no rounding bridges


def llama(scale: float, dtype=np.float32):
    """Weights far larger than fresh ones, so that the likeliest token is clear at every place."""
    manual_seed(3)
    config = {
        "model_type": "llama", "vocab_size": 97, "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 6,
        "num_key_value_heads": 2, "intermediate_size": 96, "max_position_embeddings": 256, "tie_word_embeddings": False,
    }  # fmt: skip
    model = models.build(models.config_from_dict(config))
    for name, parameter in model.named_parameters():
        parameter.data = (parameter.data * (1 if "norm" in name else scale)).astype(dtype)
    model.rotary.cos, model.rotary.sin = (Tensor(t.data.astype(dtype)) for t in (model.rotary.cos, model.rotary.sin))
    return model


@pytest.fixture(scope="module")
def model():
    return llama(12)


def test_200_greedy_tokens_are_the_same_with_and_without_the_cache(model):
    prompt = [1, 5, 9]
    with_cache = list(generate_ids(model, prompt, 200, GREEDY))
    without = list(generate_ids(model, prompt, 200, GREEDY, use_cache=False))
    assert len(with_cache) == 200
    assert len(set(with_cache)) > 20, "a text that repeats itself would prove little"
    with no_grad():
        logits = np.sort(model(Tensor(np.array([prompt + with_cache]))).data[0], axis=-1)
    assert (logits[len(prompt) - 1 : -1, -1] - logits[len(prompt) - 1 : -1, -2]).min() > CLEAR
    assert with_cache == without


@pytest.mark.parametrize(("dtype", "scale", "tolerance"), [(np.float32, 4, 1e-5), (np.float64, 12, 1e-11)])
def test_logits_are_equal_with_and_without_the_cache_however_the_text_is_cut(dtype, scale, tolerance):
    model = llama(scale, dtype)
    ids = np.random.default_rng(0).integers(0, 97, (2, 60))
    with no_grad():
        whole = model(Tensor(ids)).data
        assert whole.dtype == dtype
        assert whole.std() > 0.5
        cache, parts = model.new_cache(60), []
        for start, end in ((0, 7), (7, 8), (8, 9), (9, 40), (40, 60)):
            parts.append(model(Tensor(ids[:, start:end]), cache).data)
            last = model.next_logits(Tensor(ids[:, :end])).data
            np.testing.assert_allclose(last, whole[:, end - 1], rtol=0, atol=tolerance)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=0, atol=tolerance)


def test_a_real_checkpoint_gives_the_same_logits_with_the_cache(data_folder):
    folder = data_folder / "02_models" / "stories260K_hf"
    model, ids = models.load(folder), np.load(folder / "ref_ids.npy").reshape(1, -1)
    with no_grad():
        whole, cache = model(Tensor(ids)).data, model.new_cache()
        steps = [model.next_logits(Tensor(ids[:, i : i + 1]), cache).data for i in range(ids.shape[1])]
    # Its logits reach 16, where float32 numbers are 1e-6 apart: the bound is relative to them.
    np.testing.assert_allclose(np.stack(steps, axis=1), whole, rtol=0, atol=1e-5 * abs(whole).max())


def test_a_text_ends_at_an_end_token_at_max_tokens_or_with_the_context(model):
    ids = list(generate_ids(model, [1], 20, GREEDY))
    assert list(generate_ids(model, [1], 20, GREEDY, ends={ids[5]})) == ids[: ids.index(ids[5])]
    assert len(list(generate_ids(model, [1] * 250, 100, GREEDY))) == 7, "the last token has no successor to be read for"
    assert len(list(generate_ids(model, [1] * 256, 100, GREEDY))) == 1


@pytest.mark.parametrize(("prompt", "words"), [([], "no tokens"), ([1] * 257, "has 257 tokens, .* holds 256")])
def test_a_prompt_that_does_not_fit_is_refused_before_anything_is_written(model, prompt, words):
    with pytest.raises(UserError, match=words):
        generate_ids(model, prompt, 5, GREEDY)


def test_a_model_is_left_as_it_was(model):
    assert model.training
    for _ in generate_ids(model, [1], 3, GREEDY):
        assert not model.training
    assert model.training


def test_a_draw_depends_on_seed_sample_and_position_alone(model):
    sampling = Sampling(1.0, seed=7)
    texts = [list(generate_ids(model, [1, 2], 30, sampling, sample=n)) for n in range(4)]
    assert len({tuple(text) for text in texts}) == 4
    assert texts[2] == list(generate_ids(model, [1, 2], 30, sampling, sample=2, use_cache=False))
    assert texts[2] != list(generate_ids(model, [1, 2], 30, Sampling(1.0, seed=8), sample=2))
    logits = np.random.default_rng(0).standard_normal(97).astype(np.float32)
    assert sampling.choose(logits, 3, 40) == sampling.choose(logits + 5, 3, 40), "softmax knows no constant"


def test_tokens_are_drawn_as_often_as_their_probability_says():
    logits = np.log(np.array([0.5, 0.2, 0.2, 0.1]))
    draws = 20_000
    for temperature in (1.0, 0.5, 2.0):
        wanted = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
        counts = Counter(Sampling(temperature).choose(logits, 0, position) for position in range(draws))
        for token, share in enumerate(wanted):
            deviation = abs(counts[token] / draws - share) / np.sqrt(share * (1 - share) / draws)
            assert deviation < 4, (temperature, token)


logits_lists = st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=12)


@given(logits_lists, st.integers(1, 14), st.floats(0.01, 1), st.floats(0.05, 2), st.integers(0, 2**64 - 1))
def test_what_top_k_and_top_p_leave_out_is_never_drawn(logits, top_k, top_p, temperature, seed):
    logits = np.array(logits, np.float32)
    order = np.lexsort((np.arange(len(logits)), -logits))[:top_k]
    chances = np.exp((logits[order].astype(np.float64) - logits.max()) / temperature)
    before = np.cumsum(chances) - chances  # a token is kept while those before it do not reach p
    kept = set(order[before < top_p * chances.sum() + 1e-12])
    drawn = {Sampling(temperature, top_k, top_p, seed).choose(logits, 0, position) for position in range(10)}
    assert drawn <= kept


def test_temperature_zero_takes_the_likeliest_and_of_equal_ones_the_first():
    assert GREEDY.choose(np.array([0.0, 3.0, 3.0, -1.0]), 0, 0) == 1
    assert Sampling(1.5, top_k=1).choose(np.array([0.0, 3.0, 3.0]), 0, 0) == 1
    assert Sampling(1e-9).choose(np.array([0.0, 3.0, 2.9]), 0, 0) == 1


@pytest.mark.parametrize(("values", "words"), [
    ({"temperature": 2.1}, "temperature 2.1 is outside 0"), ({"temperature": -0.1}, "outside"),
    ({"temperature": float("nan")}, "outside"), ({"top_k": 0}, "top-k 0"), ({"top_p": 0.0}, "top-p 0"),
    ({"top_p": 1.1}, "top-p 1.1"), ({"seed": -1}, "seed -1"), ({"seed": 2**64}, "seed"),
])  # fmt: skip
def test_values_out_of_range_are_refused(values, words):
    with pytest.raises(UserError, match=words):
        Sampling(**values)


def test_a_model_that_gives_nan_is_not_drawn_from():
    for bad in ([np.nan, 1.0], [-np.inf, -np.inf], [np.inf, 0.0]):
        with pytest.raises(UserError, match="not finite"):
            GREEDY.choose(np.array(bad), 0, 3)


tokenizer = train_bpe(["stop stop halt the end of the text 🙂 🙂🙂 stops"] * 9, 290)
texts = st.lists(st.sampled_from(["st", "o", "p", "stop", " ", "ha", "lt", "🙂", "e", "n", "d"]), max_size=15).map(
    "".join
)
stops_lists = st.lists(st.sampled_from(["stop", "op", "halt", "🙂🙂", "end of", " ", "pst", "tops"]), max_size=3)


@given(texts, stops_lists)
def test_a_text_ends_before_the_stop_string_that_is_complete_first(text, stops):
    wanted = text
    for end in range(len(text) + 1):
        found = [len(stop) for stop in stops if text[:end].endswith(stop)]
        if found:
            wanted = text[: end - max(found)]
            break
    pieces = list(stream_text(tokenizer, iter(tokenizer.encode(text)), stops))
    assert "".join(pieces) == wanted
    assert "" not in pieces


def test_text_is_given_as_soon_as_it_is_certain_and_no_id_is_asked_for_after_a_stop():
    asked = []

    def ids():
        for character in "no st|stopping":
            token = tokenizer.encode(character)
            asked.append(character)
            yield from token

    pieces = stream_text(tokenizer, ids(), ["stop"])
    assert next(pieces) == "n"
    assert "".join(asked) == "n"
    assert "".join(pieces) == "o st|"
    assert "".join(asked) == "no st|stop"


def test_what_is_held_back_for_a_stop_that_never_comes_is_given_at_the_end():
    assert "".join(stream_text(tokenizer, iter(tokenizer.encode("the st")), ["stop"])) == "the st"
