"""Generation: the cache changes nothing, nor do other texts in the batch, and draws depend on their place alone."""

from dataclasses import replace

import numpy as np
import pytest

from scratchgrad import Tensor, UserError, manual_seed, models, no_grad
from scratchgrad.tools.generation import BatchSampler, Request, SamplingParams, generate, generate_ids
from scratchgrad.tools.generation.sampling import log_probabilities

CLEAR = 1e-3  # a margin between the two likeliest tokens that no rounding bridges


def greedy(max_tokens=None, **options):
    return SamplingParams(temperature=0, max_tokens=max_tokens, **options)


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
    model.rotary_emb.cos, model.rotary_emb.sin = (
        Tensor(t.data.astype(dtype)) for t in (model.rotary_emb.cos, model.rotary_emb.sin)
    )
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
    with_cache = list(generate_ids(model, prompt, greedy(200)))
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
        cache, parts = model.new_cache(2), []
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
    ids = list(generate_ids(model, [1], greedy(20)))
    assert list(generate_ids(model, [1], greedy(20, stop_token_ids={ids[5]}))) == ids[: ids.index(ids[5])]
    assert len(list(generate_ids(model, [1] * 250, greedy(100)))) == 7, "the last token has no successor to be read for"
    assert len(list(generate_ids(model, [1] * 256, greedy(100)))) == 1


@pytest.mark.parametrize(("prompt", "words"), [([], "no tokens"), ([1] * 257, "has 257 tokens, .* holds 256")])
def test_a_prompt_that_does_not_fit_is_refused_before_anything_is_written(model, prompt, words):
    with pytest.raises(UserError, match=words):
        generate_ids(model, prompt, greedy(5))


def test_a_model_is_left_as_it_was(model):
    assert model.training
    for _ in generate_ids(model, [1], greedy(3)):
        assert not model.training
    assert model.training


def texts_of(model, prompts, params, samples=None):
    """The ids and log-probabilities of every text."""
    params, sampler = replace(params, logprobs=0), BatchSampler(model)
    rows = [
        sampler.add(Request(p, params, sample))
        for p, sample in zip(prompts, samples or [0] * len(prompts), strict=True)
    ]
    ids, told = ({row: [] for row in rows} for _ in range(2))
    for tokens in sampler:
        for token in tokens:
            if token.id is not None:
                ids[token.row].append(token.id)
                told[token.row].append(token.log_prob)
    return list(ids.values()), list(told.values())


PROMPTS = [[1, 5, 9], [7], [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13], [1, 5, 9], [90, 2]]


@pytest.mark.parametrize("params", [
    greedy(40), SamplingParams(0.8, seed=7, max_tokens=40), SamplingParams(1.0, 40, 0.9, 0.01, 1.3, seed=2, max_tokens=40),
])  # fmt: skip
def test_a_text_is_the_same_whatever_else_is_in_the_batch(model, params):
    samples = [0, 0, 0, 5, 1]
    together, told = texts_of(model, PROMPTS, params, samples)
    for prompt, sample, ids, log_probs in zip(PROMPTS, samples, together, told, strict=True):
        assert len(ids) == 40
        assert texts_of(model, [prompt], params, [sample]) == ([ids], [log_probs])
    assert (together[0] == together[3]) == (params.temperature == 0), "the same prompt, and another sample of it"


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
        joined = model.new_cache(0)
        for _, cache in read:
            joined.extend(cache)
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
    alone = [list(generate_ids(model, prompt, greedy(30))) for prompt in PROMPTS]
    ends = {alone[1][3], alone[2][6]}
    cut = [next((n for n, token in enumerate(ids) if token in ends), len(ids)) for ids in alone]
    assert len(set(cut)) > 2
    ended = generate(model, PROMPTS, greedy(30, stop_token_ids=ends))
    assert ended == [ids[:n] for ids, n in zip(alone, cut, strict=True)]
    rows, sampler = [], BatchSampler(model)
    for prompt in PROMPTS:
        sampler.add(Request(prompt, greedy(30)))
    for step, tokens in enumerate(sampler):
        rows.append([token.row for token in tokens])
        if step == 4:
            sampler.cancel(2)
            sampler.cancel(0)
    assert rows[4:6] == [[0, 1, 2, 3, 4], [1, 3, 4]]
    assert len(rows) == 30


def test_texts_that_come_later_wait_for_a_place_and_are_told_why_they_end(model):
    sampler = BatchSampler(model, batch_size=2)
    alone = [list(generate_ids(model, prompt, greedy(4))) for prompt in PROMPTS]
    first = [sampler.add(Request(prompt, greedy(4))) for prompt in PROMPTS[:3]]
    steps = [sampler.step()]
    late = sampler.add(Request(PROMPTS[4], greedy(4, stop_token_ids={alone[4][2]})))
    sampler.cancel(first[1])
    while not sampler.is_idle:
        steps.append(sampler.step())
    assert [[token.row for token in step] for step in steps] == [[0, 1], [0, 2], [0, 2], [0, 2], [2, 3], [3], [3]]
    ends = {token.row: (token.id, token.finish_reason) for step in steps for token in step if token.finish_reason}
    assert ends == {0: (alone[0][3], "length"), 2: (alone[2][3], "length"), late: (None, "stop")}
    assert sampler.step() == []


def test_stop_strings_end_a_text_and_text_appears_when_it_is_certain(model):
    class Letters:
        """Every id is a letter."""

        def stream_decoder(self):
            return self

        def feed(self, token):
            return chr(ord("a") + token % 26)

        def finish(self):
            return "."

    (ids,) = generate(model, [[1]], greedy(30))
    text = "".join(chr(ord("a") + token % 26) for token in ids)
    stop = text[10:13]
    end = text.index(stop)
    for wanted, params in (
        (text[:end], greedy(30, stop=[stop])),
        (text + ".", greedy(30)),
        (text[:3] + ".", greedy(3)),
    ):
        sampler = BatchSampler(model, tokenizer=Letters())
        sampler.add(Request([1], params))
        tokens = [token for step in sampler for token in step]
        assert "".join(token.text for token in tokens) == wanted
        assert tokens[-1].finish_reason == ("stop" if params.stop else "length")
        assert len(tokens) == (end + 3 if params.stop else params.max_tokens)
    with pytest.raises(ValueError, match="need a tokenizer"):
        BatchSampler(model).add(Request([1], greedy(3, stop=["x"])))


def test_weights_may_change_between_two_texts_in_whatever_way(model):
    """What was made of the weights for decoding is kept from text to text, and made anew where they are others."""
    sampler = BatchSampler(model.eval())

    def written():
        rows = {sampler.add(Request(prompt, greedy(8))): [] for prompt in PROMPTS}
        for tokens in sampler:
            for token in tokens:
                rows[token.row].append(token.id)
        return list(rows.values())

    before, made = written(), dict(model.packed_weights._packed)
    assert len(made) == 1 + 4 * 3
    assert written() == before
    assert all(model.packed_weights._packed[key] is value for key, value in made.items()), "nothing was made again"
    weight = model.decoder.layers[0].feed_forward.gate_up.weight
    kept, state = weight.data.copy(), {name: array.copy() for name, array in model.state_dict().items()}
    try:
        weight.data *= -1
        in_place = written()
        assert in_place == [list(generate_ids(model, prompt, greedy(8))) for prompt in PROMPTS] != before
        weight.data[...] = kept
        assert written() == before
        model.load_state_dict({name: -array if "o_proj" in name else array for name, array in state.items()})
        assert before != written() != in_place
        model.load_state_dict(state)
        assert written() == before
    finally:
        model.train()
    assert len(list(generate_ids(model, [1], greedy(2)))) == 2
    assert not model.packed_weights._packed, "a model that is trained keeps nothing"


def test_log_probabilities_are_told_where_they_are_asked_for(model):
    params = (greedy(3), greedy(3, logprobs=0), greedy(3, logprobs=4))
    sampler = BatchSampler(model)
    for one in params:
        sampler.add(Request([1, 5, 9], one))
    for without, chosen, top in sampler:
        assert (without.log_prob, without.top_log_probs) == (None, ())
        assert (chosen.log_prob, chosen.top_log_probs) == (top.log_prob, ())
        assert len(top.top_log_probs) == 4
        assert top.top_log_probs[0] == (top.id, top.log_prob), "greedy search takes the likeliest"


def test_each_text_has_the_whole_context_for_itself(model):
    lengths = (250, 190, 256)
    ids = generate(model, [[1] * length for length in lengths], greedy(1000))
    assert [len(text) for text in ids] == [7, 67, 1]
    assert ids[1] == list(generate_ids(model, [1] * 190, greedy()))


def test_a_prompt_is_read_once_and_grouped_heads_stay_grouped(model, monkeypatch):
    read, shapes = [], set()
    prefill, decode = model.prefill, model.decode
    monkeypatch.setattr(model, "prefill", lambda prompt, prefix=None: read.append(prompt) or prefill(prompt, prefix))

    def watched(ids, cache):
        out = decode(ids, cache)
        shapes.add(cache.layers[0].self_attention._key.shape[1:])
        return out

    monkeypatch.setattr(model, "decode", watched)
    assert len(set(map(tuple, generate(model, [[1, 2], [3], [1, 2]], greedy(12))))) == 2
    assert read == [(1, 2), (3,)]
    assert shapes == {(2, 64, 8)}


def test_an_error_in_what_texts_share_ends_them_all_and_leaves_the_sampler_usable(model, monkeypatch):
    sampler = BatchSampler(model)
    sampler.add(Request([1, 2], greedy(5)))
    sampler.step()
    with monkeypatch.context() as patch:
        patch.setattr(model, "decode", lambda ids, cache: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            sampler.step()
    assert sampler.is_idle
    row = sampler.add(Request([1, 2], greedy(5)))
    assert [token.id for (token,) in sampler if token.row == row] == list(generate_ids(model, [1, 2], greedy(5)))


@pytest.mark.parametrize("at", ["prompt", "first", "later", "options"])
@pytest.mark.parametrize("batch_size", [None, 2])
def test_an_error_in_one_text_ends_that_and_the_others_go_on_with_the_same_bits(model, monkeypatch, at, batch_size):
    params = SamplingParams(seed=3, max_tokens=9, logprobs=0)
    prompts = [[1, 5, 9], [2, 2], [7, 3], [4]]
    alone = {tuple(prompt): texts_of(model, [prompt], params) for prompt in prompts}
    sampler, steps = BatchSampler(model, batch_size=batch_size), {}
    bad = replace(params, stop_token_ids=3) if at == "options" else params  # where nothing can be found in
    rows = {
        sampler.add(Request(prompt, bad if prompt == [2, 2] else params)): tuple(prompt) for prompt in prompts
    }  # fmt: skip
    prefill, decode = model.prefill, model.decode

    def spoilt_prefill(prompt, prefix=None):
        if tuple(prompt) == (2, 2) and at == "prompt":
            raise MemoryError("no room for this prompt")
        logits, cache = prefill(prompt, prefix)
        return logits * (np.nan if tuple(prompt) == (2, 2) and at == "first" else 1), cache

    def spoilt_decode(ids, cache):
        logits = decode(ids, cache)
        live = [rows[row.number] for row in sampler._rows]
        if at == "later" and (2, 2) in live and len(steps[(2, 2)]) == 4:
            logits.data[live.index((2, 2))] = np.nan
        return logits

    monkeypatch.setattr(model, "prefill", spoilt_prefill)
    monkeypatch.setattr(model, "decode", spoilt_decode)
    for tokens in sampler:
        for token in tokens:
            steps.setdefault(rows[token.row], []).append(token)
    for prompt, found in steps.items():
        (ids,), (log_probs,) = alone[prompt]
        if prompt != (2, 2):
            assert ([t.id for t in found], [t.log_prob for t in found]) == (ids, log_probs)
            continue
        *before, last = found
        assert [token.id for token in before] == ids[: len(before)]
        assert len(before) == (4 if at == "later" else 0)
        assert (last.id, last.finish_reason) == (None, "error")
        assert isinstance(last.error, {"prompt": MemoryError, "options": TypeError}.get(at, UserError))


def test_the_error_of_a_text_is_raised_to_who_asks_for_its_ids(model):
    params = greedy(5, stop_token_ids=3)  # where nothing can be found in
    for ask in (lambda: generate(model, [[1], [2]], params), lambda: list(generate_ids(model, [1], params))):
        with pytest.raises(TypeError):
            ask()


@pytest.mark.parametrize("prompt", [[1, 97], [-1, 3]])
def test_a_prompt_with_ids_of_no_token_is_refused_when_it_is_added(model, prompt):
    sampler = BatchSampler(model)
    with pytest.raises(UserError, match="the model's go from 0 to 96"):
        sampler.add(Request(prompt, greedy(5)))
    assert sampler.is_idle


def test_log_probabilities_are_those_of_the_model_whatever_is_drawn(model):
    prompt = [1, 5, 9]
    (ids,), (told,) = texts_of(
        model, [prompt], SamplingParams(1.5, top_k=9, repetition_penalty=1.2, seed=1, max_tokens=10)
    )
    with no_grad():
        whole = log_probabilities(model(Tensor(np.array([prompt + ids]))).data[0])
    np.testing.assert_allclose(told, [whole[len(prompt) - 1 + n, token] for n, token in enumerate(ids)], atol=1e-4)


def test_a_penalty_counts_the_prompt_and_what_was_written(model):
    prompt = [1, 5, 9]
    ids = list(generate_ids(model, prompt, greedy(60, repetition_penalty=1e6)))
    assert len(set(prompt + ids)) == 63, "no token twice, while there are others"


def test_samples_are_drawn_by_their_number(model):
    params = SamplingParams(seed=7, max_tokens=30)
    texts = [list(generate_ids(model, [1, 2], params, sample=n)) for n in range(4)]
    assert len({tuple(text) for text in texts}) == 4
    assert texts_of(model, [[1, 2]] * 2, params, [3, 2])[0] == [texts[3], texts[2]]
    assert texts[2] != list(generate_ids(model, [1, 2], replace(params, seed=8), sample=2))


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
    together = generate(t5, sources, greedy(25))
    assert len(set(map(tuple, together))) == 3
    for source, ids in zip(sources, together, strict=True):
        read, memory = [t5.config.decoder_start_token_id], t5.encode(Tensor(np.array([source])))
        for _ in range(25):
            with no_grad():
                logits = np.sort(t5.eval().decode(Tensor(np.array([read])), None, memory).data[0])
                read.append(int(t5.decode(Tensor(np.array([read])), None, memory).data.argmax()))
            assert logits[-1] - logits[-2] > CLEAR
        assert ids == read[1:]
    assert len(list(generate_ids(t5, [9, 1], greedy(1000)))) == 48, "the source takes nothing of the context"


def test_sources_that_leave_take_their_keys_with_them(t5):
    sources = [[5, 6, 7, 1], [9, 1], list(range(2, 40))]
    alone = [list(generate_ids(t5, source, greedy(20))) for source in sources]
    sampler, texts = BatchSampler(t5), [[], [], []]
    for source in sources:
        sampler.add(Request(source, greedy(20)))
    for step, tokens in enumerate(sampler):
        for token in tokens:
            texts[token.row].append(token.id)
        if step in (3, 8):
            sampler.cancel((0, 1)[step == 8])
    assert texts == [alone[0][:4], alone[1][:9], alone[2]]
