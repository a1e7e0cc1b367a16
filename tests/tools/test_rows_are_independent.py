"""One text alone, in any batch, with rows that join and leave at any step, or after a cached prefix: the same bits."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgrad.models.cache import BLOCK
from scratchgrad.tools.generation import BatchSampler, PrefixCache, Request, SamplingParams, beam_search
from scratchgrad.tools.generation import batch_sampler as module
from tests.tools.generation_models import CONFIGS, CONTEXT, tiny


@dataclass
class Plan:
    """A request, the step before which it joins, and the step before which it is cancelled."""

    request: Request
    joins: int
    is_cancelled: int


def params(rng):
    return SamplingParams(
        temperature=float(rng.choice([0, 0.7, 1, 1.6])),
        top_k=rng.choice([None, 1, 20]),
        top_p=float(rng.choice([1, 0.9])),
        min_p=float(rng.choice([0, 0.02])),
        repetition_penalty=float(rng.choice([1, 1.3])),
        seed=int(rng.integers(0, 5)),
        max_tokens=int(rng.choice([1, 3, 12, 20])),
        stop_token_ids=rng.integers(0, 60, rng.choice([0, 0, 3])).tolist(),
        logprobs=int(rng.integers(0, 4)),
    )


def plans(rng, family, count):
    vocabulary, made = CONFIGS[family]["vocab_size"], []
    stem = rng.integers(1, vocabulary, 3 * BLOCK).tolist()  # which some prompts have in common
    for _ in range(count):
        own = rng.integers(1, vocabulary, int(rng.choice([1, 2, 9, BLOCK]))).tolist()
        prompt = (stem[: int(rng.choice([0, 0, 5, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK - 10]))] + own)[:CONTEXT]
        request = Request(prompt, params(rng), int(rng.integers(0, 2)))
        made.append(Plan(request, int(rng.integers(0, 25)), int(rng.choice([10**9, 10**9, rng.integers(0, 30)]))))
    return made


def written(family, some, batch_size=None, prefix_cache=None):
    """For each plan the logits and the tokens of every step, by the bits that they have."""
    seen, sampler = {}, BatchSampler(tiny(family), batch_size=batch_size, prefix_cache=prefix_cache)
    numbers, steps, step = {}, {}, 0
    choose = module._Row.choose

    def watched(row, logits):
        seen.setdefault(row.number, []).append(logits.tobytes())
        return choose(row, logits)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module._Row, "choose", watched)
        while len(numbers) < len(some) or not sampler.is_idle:
            for index, plan in enumerate(some):
                if plan.joins == step:
                    numbers[index] = sampler.add(plan.request)
                if plan.is_cancelled == step and index in numbers:
                    sampler.cancel(numbers[index])
            for token in sampler.step():
                steps.setdefault(token.row, []).append(token._replace(row=0))
            step += 1
    return [(seen.get(n, []), steps.get(n, [])) for n in (numbers[i] for i in range(len(some)))]


@pytest.mark.parametrize("family", CONFIGS)
@settings(max_examples=12)
@given(st.integers(0, 2**32), st.integers(1, 20), st.none() | st.integers(1, 20), st.booleans())
def test_a_text_has_the_bits_that_it_has_alone(family, seed, count, batch_size, has_prefixes):
    rng = np.random.default_rng(seed)
    some = plans(rng, family, count)
    prefixes = PrefixCache(int(rng.choice([BLOCK, 5 * BLOCK, 10**6]))) if has_prefixes else None
    together = written(family, some, batch_size, prefixes)
    for plan, (logits, tokens) in zip(some, together, strict=True):
        ((logits_alone, tokens_alone),) = written(family, [Plan(plan.request, 0, 10**9)])
        assert logits == logits_alone[: len(logits)]
        assert tokens == tokens_alone[: len(tokens)]
        assert plan.is_cancelled < 10**9 or len(tokens) == len(tokens_alone)


@pytest.mark.parametrize("family", CONFIGS)
def test_prompts_that_are_searched_together_find_the_very_scores_that_they_find_alone(family):
    rng = np.random.default_rng(1)
    prompts = [rng.integers(1, 60, length).tolist() for length in (3, 70, 1, 3)]
    together = beam_search(tiny(family), prompts, 9, 3, stop_token_ids=set(range(15)))
    assert len({len(text.ids) for found in together for text in found}) > 1, "they end at different times"
    for prompt, found in zip(prompts, together, strict=True):
        assert beam_search(tiny(family), [prompt], 9, 3, stop_token_ids=set(range(15))) == [found]


@pytest.mark.parametrize("family", [family for family in CONFIGS if family not in ("t5", "transformer")])
def test_what_is_known_of_a_prompt_is_not_read_again(family, monkeypatch):
    model, read, prefixes = tiny(family), [], PrefixCache(10 * BLOCK)
    hidden_states = model.hidden_states
    monkeypatch.setattr(
        model, "hidden_states", lambda ids, cache: read.append(ids.shape[1]) or hidden_states(ids, cache)
    )
    stem = list(range(1, 60)) * 3

    def lengths(prompt):
        read.clear()
        sampler = BatchSampler(model, prefix_cache=prefixes)
        sampler.add(Request(prompt, SamplingParams(max_tokens=1)))
        sampler.step()
        return list(read)

    assert lengths(stem[: 2 * BLOCK + 5]) == [BLOCK, BLOCK, 5]
    assert lengths(stem[: 2 * BLOCK + 6]) == [6]
    assert lengths(stem[: 2 * BLOCK]) == [BLOCK], "the last token is read in any case: its logits are wanted"
    assert lengths([*stem[:BLOCK], 9, 9]) == [2]
    assert lengths([9, *stem[:BLOCK]]) == [BLOCK, 1]


def test_prefixes_that_nobody_asks_for_make_room():
    model, prefixes = tiny("llama"), PrefixCache(5 * BLOCK)
    prompts = [[number] * (2 * BLOCK + number) for number in (1, 2, 3)]

    def known(prompt):
        found = prefixes.get(prompt)
        return 0 if found is None else int(found.lengths[0])

    for prompt in prompts[:2]:
        prefixes.put(prompt, model.prefill(prompt)[1])
    assert [known(prompt) for prompt in prompts] == [2 * BLOCK, 2 * BLOCK, 0]
    assert known(prompts[0]) == 2 * BLOCK
    prefixes.put(prompts[2], model.prefill(prompts[2])[1])
    assert [known(prompt) for prompt in prompts] == [2 * BLOCK, 0, 2 * BLOCK]
    assert prefixes.tokens == 4 * BLOCK
    longer = prompts[0][:BLOCK] + [7] * (2 * BLOCK)  # begins as the first does, which it drives out
    prefixes.get(prompts[2])
    prefixes.put(longer, model.prefill(longer)[1])
    assert (known(prompts[0]), known(longer), prefixes.tokens) == (BLOCK, 3 * BLOCK, 5 * BLOCK)
    prefixes.put([5] * (6 * BLOCK - 200), model.prefill([5] * (6 * BLOCK - 200))[1])
    assert prefixes.tokens <= 5 * BLOCK
