"""Beam search: exhaustive where it is wide enough, greedy where it has one beam, and Hugging Face's in between."""

import itertools
import math

import numpy as np
import pytest

from scratchgrad import Tensor, UserError, manual_seed, models, no_grad
from scratchgrad.tools.generation import SamplingParams, beam_search, generate_ids
from scratchgrad.tools.generation.sampling import log_probabilities


def llama(vocab_size, scale=8):
    manual_seed(3)
    config = {
        "model_type": "llama", "vocab_size": vocab_size, "hidden_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48, "max_position_embeddings": 64,
    }  # fmt: skip
    model = models.build(models.config_from_dict(config))
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            parameter.data *= scale
    return model


@pytest.fixture(scope="module")
def model():
    return llama(29)


def total(model, prompt, ids):
    """log p(ids | prompt)."""
    with no_grad():
        told = log_probabilities(model(Tensor(np.array([[*prompt, *ids]]))).data[0])
    return sum(told[len(prompt) - 1 + n, token] for n, token in enumerate(ids))


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, -0.5])
def test_a_search_that_is_wide_enough_finds_the_best_of_all_texts(length_penalty):
    tiny, end, longest, prompt = llama(4), 3, 4, [2, 1]
    scores = {}
    for length in range(1, longest + 1):
        for ids in itertools.product(range(4), repeat=length):
            if end not in ids[:-1] and (length == longest or ids[-1] == end):
                scores[tuple(i for i in ids if i != end), length] = total(tiny, prompt, ids) / length**length_penalty
    best = sorted(scores.items(), key=lambda item: -item[1])
    (found,) = beam_search(tiny, [prompt], longest, 4**longest, length_penalty=length_penalty, stop_token_ids={end})
    assert len(found) == len(scores)
    np.testing.assert_allclose([text.score for text in found], [score for _, score in best], atol=1e-4)
    assert tuple(found[0].ids) == best[0][0][0]


def test_one_beam_is_greedy_search(model):
    for prompt in ([5], [7, 8, 9], [3] * 20):
        ids = list(generate_ids(model, prompt, SamplingParams(0, max_tokens=25, stop_token_ids={0})))
        ((found,),) = beam_search(model, [prompt], 25, 1, stop_token_ids={0})
        assert found.ids == ids


def test_a_score_is_the_log_probability_over_the_length_to_the_power_of_the_penalty(model):
    prompt = [4, 11]
    for penalty in (0.0, 1.0, 2.0):
        (found,) = beam_search(model, [prompt], 9, 3, length_penalty=penalty)
        assert [len(text.ids) for text in found] == [9, 9, 9]
        assert len({tuple(text.ids) for text in found}) == 3
        assert [text.score for text in found] == sorted((text.score for text in found), reverse=True)
        for text in found:
            assert math.isclose(text.score, total(model, prompt, text.ids) / 9**penalty, abs_tol=1e-4)
            assert math.isclose(sum(text.log_probs), text.score * 9**penalty, abs_tol=1e-9)


def test_more_beams_find_a_likelier_text_than_greedy_search(model):
    better = 0
    for first in range(29):
        scores = [beam_search(model, [[first]], 10, beams)[0][0].score for beams in (1, 6)]
        better += scores[1] > scores[0] + 1e-3
    assert better > 5


def test_prompts_that_are_searched_together_find_what_they_find_alone(model):
    prompts = [[5], [7, 8, 9, 10, 11], [3, 3], [5]]
    together = beam_search(model, prompts, 14, 3, stop_token_ids=set(range(10)))
    for prompt, found in zip(prompts, together, strict=True):
        (alone,) = beam_search(model, [prompt], 14, 3, stop_token_ids=set(range(10)))
        assert [text.ids for text in found] == [text.ids for text in alone]
        assert [text.score for text in found] == [text.score for text in alone]
    assert len({len(text.ids) for found in together for text in found}) > 2, "they end at different times"


def test_an_encoder_decoder_is_searched_with_each_source_in_sight():
    manual_seed(4)
    config = {
        "model_type": "t5", "vocab_size": 31, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4,
        "max_position_embeddings": 32, "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20,
        "tie_word_embeddings": False,
    }  # fmt: skip
    model = models.build(models.config_from_dict(config))
    for name, parameter in model.named_parameters():
        if "norm" not in name and "bias" not in name:
            parameter.data *= 5
    sources = [[5, 6, 7, 1], [9, 1], list(range(2, 30))]
    together = beam_search(model, sources, 12, 3, stop_token_ids={3, 24})
    for source, found in zip(sources, together, strict=True):
        (alone,) = beam_search(model, [source], 12, 3, stop_token_ids={3, 24})
        assert [text.ids for text in found] == [text.ids for text in alone]
    assert len({tuple(found[0].ids) for found in together}) == 3


def test_a_search_ends_with_the_context(model):
    (found,) = beam_search(model, [[1] * 60], 100, 2)
    assert [len(text.ids) for text in found] == [5, 5]


@pytest.mark.parametrize(("options", "words"), [
    ({"beams": 0}, "0 beams"), ({"beams": 2, "length_penalty": math.nan}, "length-penalty nan"),
    ({"beams": 2, "length_penalty": 1e9}, "length-penalty 1e"),
])  # fmt: skip
def test_searches_that_make_no_sense_are_refused(model, options, words):
    with pytest.raises(UserError, match=words):
        beam_search(model, [[1]], 5, **options)


@pytest.fixture(scope="module")
def theirs(model, tmp_path_factory):
    """The same model as transformers has it."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    folder = tmp_path_factory.mktemp("llama")
    models.save(model, folder)
    return transformers.LlamaForCausalLM.from_pretrained(folder)


def generated(theirs, prompt, **options):
    import torch

    return theirs.generate(torch.tensor([prompt]), do_sample=False, pad_token_id=28, **options)


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, -1.0])
def test_scores_and_texts_are_those_of_transformers(model, theirs, length_penalty):
    prompt, ends = [3, 3], list(range(10))
    (found,) = beam_search(model, [prompt], 10, 4, length_penalty=length_penalty, stop_token_ids=ends)
    out = generated(
        theirs, prompt, num_beams=4, num_return_sequences=4, max_new_tokens=10, length_penalty=length_penalty,
        eos_token_id=ends, return_dict_in_generate=True, output_scores=True,
    )  # fmt: skip
    np.testing.assert_allclose([text.score for text in found], out.sequences_scores.numpy(), atol=1e-4)
    for text, ids in zip(found, out.sequences[:, len(prompt) :].tolist(), strict=True):
        assert text.ids == list(itertools.takewhile(lambda token: token not in ends, ids))[:10]


@pytest.mark.parametrize("penalty", [1.0, 1.5])
def test_greedy_text_is_that_of_transformers(model, theirs, penalty):
    out = generated(theirs, [7, 8, 9], max_new_tokens=20, eos_token_id=None, repetition_penalty=penalty)
    ids = list(generate_ids(model, [7, 8, 9], SamplingParams(0, repetition_penalty=penalty, max_tokens=20)))
    assert ids == out[0, 3:].tolist()
