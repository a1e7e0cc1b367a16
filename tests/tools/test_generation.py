"""Generation: the cache changes nothing, nor do other texts in the batch, and draws depend on their place alone."""

import numpy as np
import pytest

from scratchgrad import Tensor, UserError, manual_seed, models, no_grad
from scratchgrad.tools.generation import Generation, generate_ids
from scratchgrad.tools.sampling import Sampling, log_probabilities

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


def without_cache(model, prompt, count):
    """The likeliest tokens after a prompt, each told from the whole text so far."""
    ids = list(prompt)
    with no_grad():
        for _ in range(count):
            ids.append(int(model.decode(Tensor(np.array([ids]))).data.argmax()))
    return ids[len(prompt) :]


def test_200_greedy_tokens_are_the_same_with_and_without_the_cache(model):
    prompt = [4, 5, 9]
    with_cache = list(generate_ids(model, prompt, 200, GREEDY))
    assert len(with_cache) == 200
    assert len(set(with_cache)) > 20, "a text that repeats itself would prove little"
    with no_grad():
        logits = np.sort(model(Tensor(np.array([prompt + with_cache]))).data[0], axis=-1)
    assert (logits[len(prompt) - 1 : -1, -1] - logits[len(prompt) - 1 : -1, -2]).min() > CLEAR
    assert with_cache == without_cache(model, prompt, 200)


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
            last = model.decode(Tensor(ids[:, :end])).data
            np.testing.assert_allclose(last, whole[:, end - 1], rtol=0, atol=tolerance)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=0, atol=tolerance)


def test_a_real_checkpoint_gives_the_same_logits_with_the_cache(data_folder):
    folder = data_folder / "02_models" / "stories260K_hf"
    model, ids = models.load(folder), np.load(folder / "ref_ids.npy").reshape(1, -1)
    with no_grad():
        whole, cache = model(Tensor(ids)).data, model.new_cache()
        steps = [model.decode(Tensor(ids[:, i : i + 1]), cache).data for i in range(ids.shape[1])]
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


def texts_of(model, prompts, count, sampling, **options):
    """The ids and log-probabilities of every text."""
    ids, told = [[[] for _ in prompts] for _ in range(2)]
    for tokens in Generation(model, prompts, count, sampling, log_probabilities=True, **options):
        for token in tokens:
            ids[token.text].append(token.id)
            told[token.text].append(token.log_probability)
    return ids, told


PROMPTS = [[1, 5, 9], [7], [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13], [1, 5, 9], [90, 2]]


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(0.8, seed=7), Sampling(1.0, 40, 0.9, 0.01, 1.3, seed=2)])
def test_a_text_is_the_same_whatever_else_is_in_the_batch(model, sampling):
    samples = [0, 0, 0, 5, 1]
    together, told = texts_of(model, PROMPTS, 40, sampling, samples=samples)
    for prompt, sample, ids, log_probabilities_ in zip(PROMPTS, samples, together, told, strict=True):
        assert len(ids) == 40
        alone, told_alone = texts_of(model, [prompt], 40, sampling, samples=[sample])
        assert alone == [ids]
        np.testing.assert_allclose(log_probabilities_, told_alone[0], rtol=0, atol=1e-4)
    assert (together[0] == together[3]) == (sampling == GREEDY), "the same prompt, and another sample of it"


def gpt2():
    manual_seed(3)
    config = {"model_type": "gpt2", "vocab_size": 97, "n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 64}
    model = models.build(models.config_from_dict(config))
    for name, parameter in model.named_parameters():
        parameter.data *= 1 if "norm" in name else 4
    return model


@pytest.mark.parametrize("build", [lambda: llama(4), gpt2], ids=["rotary positions", "learned positions"])
def test_logits_of_a_batch_of_unlike_lengths_are_those_of_its_texts_alone(build):
    model, rng = build(), np.random.default_rng(0)
    texts = [rng.integers(0, 97, length) for length in (3, 40, 11, 1)]
    following = rng.integers(0, 97, (4, 6))
    with no_grad():
        read = [model.prefill(text) for text in texts]
        joined = models.Cache.joined([cache for _, cache in read], 6)
        for step in range(4):
            got = model.decode(Tensor(following[:, step : step + 1]), joined).data
            for row, text in enumerate(texts):
                whole = model.decode(Tensor(np.append(text, following[row, : step + 1])[None])).data
                np.testing.assert_allclose(got[row], whole[0], rtol=0, atol=1e-5)
        got = model(Tensor(following[:, 4:]), joined).data  # several tokens at once, too
        for row, text in enumerate(texts):
            whole = model(Tensor(np.append(text, following[row])[None])).data[0, -2:]
            np.testing.assert_allclose(got[row], whole, rtol=0, atol=1e-5)


def test_texts_that_are_over_leave_the_batch_and_the_others_go_on(model):
    alone = [list(generate_ids(model, prompt, 30, GREEDY)) for prompt in PROMPTS]
    ends = {alone[1][3], alone[2][6]}
    cut = [next((n for n, token in enumerate(ids) if token in ends), len(ids)) for ids in alone]
    assert len(set(cut)) > 2
    assert texts_of(model, PROMPTS, 30, GREEDY, ends=ends)[0] == [ids[:n] for ids, n in zip(alone, cut, strict=True)]
    rows, generation = [], Generation(model, PROMPTS, 30, GREEDY)
    for step, tokens in enumerate(generation):
        rows.append([token.text for token in tokens])
        if step == 4:
            generation.end(2)
            generation.end(0)
    assert rows[4:6] == [[0, 1, 2, 3, 4], [1, 3, 4]]
    assert len(rows) == 30


def test_weights_may_change_between_two_generations(model):
    """Several texts at once keep what was made of the weights, as long as their cache, and no longer."""
    before, _ = texts_of(model, PROMPTS, 8, GREEDY)
    weight = model.decoder.layers[0].feed_forward.gate_up.weight
    kept = weight.data.copy()
    try:
        weight.data *= -1
        changed, _ = texts_of(model, PROMPTS, 8, GREEDY)
        assert changed == [list(generate_ids(model, prompt, 8, GREEDY)) for prompt in PROMPTS] != before
    finally:
        weight.data[...] = kept
    assert texts_of(model, PROMPTS, 8, GREEDY)[0] == before


def test_log_probabilities_are_told_where_they_are_asked_for(model):
    for tokens in Generation(model, PROMPTS, 3, GREEDY):
        assert [token.log_probability for token in tokens] == [None] * len(PROMPTS)


def test_each_text_has_the_whole_context_for_itself(model):
    lengths = (250, 190, 256)
    ids, _ = texts_of(model, [[1] * length for length in lengths], 1000, GREEDY)
    assert [len(text) for text in ids] == [7, 67, 1]
    assert ids[1] == list(generate_ids(model, [1] * 190, 1000, GREEDY))


def test_the_cache_is_made_once_and_a_prompt_is_read_once(model, monkeypatch):
    read, made = [], []
    prefill, decode = model.prefill, model.decode
    monkeypatch.setattr(model, "prefill", lambda prompt: read.append(prompt) or prefill(prompt))

    def watched(ids, cache):
        out = decode(ids, cache)
        layer = cache.layers[0]
        made.append(layer._keys)
        assert layer._keys.shape[1] == 2, "grouped heads stay grouped"
        return out

    generation = Generation(model, [[1, 2], [3], [1, 2]], 12, GREEDY)
    steps = iter(generation)
    next(steps)
    monkeypatch.setattr(model, "decode", watched)
    assert len(list(steps)) == 11
    assert read == [(1, 2), (3,)]
    assert len(made) == 11
    assert all(keys is made[0] for keys in made)


def test_log_probabilities_are_those_of_the_model_whatever_is_drawn(model):
    prompt = [1, 5, 9]
    (ids,), (told,) = texts_of(model, [prompt], 10, Sampling(1.5, top_k=9, repetition_penalty=1.2, seed=1))
    with no_grad():
        whole = log_probabilities(model(Tensor(np.array([prompt + ids]))).data[0])
    np.testing.assert_allclose(told, [whole[len(prompt) - 1 + n, token] for n, token in enumerate(ids)], atol=1e-4)


def test_a_penalty_counts_the_prompt_and_what_was_written(model):
    prompt = [1, 5, 9]
    ids = list(generate_ids(model, prompt, 60, Sampling(0, repetition_penalty=1e6)))
    assert len(set(prompt + ids)) == 63, "no token twice, while there are others"


def test_samples_are_drawn_by_their_number(model):
    sampling = Sampling(1.0, seed=7)
    texts = [list(generate_ids(model, [1, 2], 30, sampling, sample=n)) for n in range(4)]
    assert len({tuple(text) for text in texts}) == 4
    assert texts_of(model, [[1, 2]] * 2, 30, sampling, samples=[3, 2])[0] == [texts[3], texts[2]]
    assert texts[2] != list(generate_ids(model, [1, 2], 30, Sampling(1.0, seed=8), sample=2))


def test_rows_of_a_cache_that_ask_for_what_was_overwritten_are_refused():
    model = llama(4)
    with no_grad():
        _, cache = model.prefill([1, 2])
        joined = models.Cache.joined([cache, cache], 3)
    with pytest.raises(ValueError, match="copied over"):
        joined.arrange([1, 0])


@pytest.fixture(scope="module")
def t5():
    manual_seed(4)
    config = {
        "model_type": "t5", "vocab_size": 61, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4,
        "max_position_embeddings": 48, "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20,
        "tie_word_embeddings": False,
    }  # fmt: skip
    model = models.build(models.config_from_dict(config))
    for name, parameter in model.named_parameters():
        if "norm" not in name and "bias" not in name:
            parameter.data *= 3
    return model


def test_an_encoder_decoder_answers_a_batch_of_sources_each_as_alone(t5):
    sources = [[5, 6, 7, 1], [9, 1], list(range(2, 40)), [5, 6, 7, 1]]
    together, _ = texts_of(t5, sources, 25, GREEDY)
    assert len(set(map(tuple, together))) == 3
    for source, ids in zip(sources, together, strict=True):
        read, memory = [t5.config.decoder_start_token_id], t5.encode(Tensor(np.array([source])))
        for _ in range(25):
            with no_grad():
                logits = np.sort(t5.eval().decode(Tensor(np.array([read])), None, memory).data[0])
                read.append(int(t5.decode(Tensor(np.array([read])), None, memory).data.argmax()))
            assert logits[-1] - logits[-2] > CLEAR
        assert ids == read[1:]
    assert len(list(generate_ids(t5, [9, 1], 1000, GREEDY))) == 48, "the source takes nothing of the context"


def test_sources_that_leave_take_their_memory_with_them(t5):
    sources = [[5, 6, 7, 1], [9, 1], list(range(2, 40))]
    alone = [list(generate_ids(t5, source, 20, GREEDY)) for source in sources]
    generation, texts = Generation(t5, sources, 20, GREEDY), [[], [], []]
    for step, tokens in enumerate(generation):
        for token in tokens:
            texts[token.text].append(token.id)
        if step in (3, 8):
            generation.end((0, 1)[step == 8])
    assert texts == [alone[0][:4], alone[1][:9], alone[2]]
