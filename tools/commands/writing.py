"""The texts that scratchgrad-sample is asked for: written, several at once, and handed to the printer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scratchgrad.models import Decoder, EncoderDecoder
from scratchgrad.tools.commands.printing import Output, Printer, Written
from scratchgrad.tools.generation import BatchSampler, Request, SamplingParams, TextStream, beam_search, check_prompt
from scratchgrad.tools.loading import LanguageModel


def draw_texts(
    model: Decoder | EncoderDecoder,
    loaded: LanguageModel,
    prompts: Sequence[str],
    num_samples: int,
    params: SamplingParams,
    *,
    batch_size: int,
    output: Output,
) -> None:
    """`num_samples` texts for each prompt, at most batch_size at once, each printed as soon as it is certain.

    UserError where a prompt does not fit, before anything is printed.
    """
    params = replace(
        params, stop_token_ids=loaded.stop_token_ids, logprobs=0 if output.needs_log_probs else params.logprobs
    )
    sampler = BatchSampler(model, tokenizer=loaded.tokenizer, batch_size=batch_size)
    texts = [Written(prompt, sample) for prompt in prompts for sample in range(num_samples)]
    numbers = {
        sampler.add(Request(loaded.prompt_ids(text.prompt), params, text.sample)): number
        for number, text in enumerate(texts)
    }
    printer = Printer(loaded.tokenizer, texts, output, echoes=isinstance(model, Decoder))
    faults: list[Exception] = []
    for tokens in sampler:
        for token in tokens:
            number = numbers[token.row]
            if token.error is not None:
                faults.append(token.error)
            printer.add(number, token.id, token.log_prob, token.text)
            if token.finish_reason is not None:
                printer.finish(number)
    if faults:  # the other texts are written
        raise faults[0]


def search_texts(
    model: Decoder | EncoderDecoder,
    loaded: LanguageModel,
    prompts: Sequence[str],
    num_samples: int,
    params: SamplingParams,
    *,
    beams: int,
    length_penalty: float,
    batch_size: int,
    output: Output,
) -> None:
    """As `draw_texts`, the likeliest texts that `beams` beams find, the best first. A stop string cuts them."""
    ids = [loaded.prompt_ids(prompt) for prompt in prompts]
    for prompt in ids:
        check_prompt(model, prompt)
    texts = [Written(prompt, sample) for prompt in prompts for sample in range(num_samples)]
    printer = Printer(loaded.tokenizer, texts, output, echoes=isinstance(model, Decoder))
    at_once = max(1, batch_size // beams)
    for first in range(0, len(ids), at_once):
        searched = beam_search(
            model,
            ids[first : first + at_once],
            params.max_tokens,
            beams,
            length_penalty=length_penalty,
            stop_token_ids=loaded.stop_token_ids,
        )
        for place, found in enumerate(searched, start=first):
            for sample, hypothesis in enumerate(found[:num_samples]):
                number, stream = place * num_samples + sample, TextStream(loaded.tokenizer, tuple(params.stop))
                texts[number].score = hypothesis.score
                for token, log_prob in zip(hypothesis.ids, hypothesis.log_probs, strict=True):
                    printer.add(number, token, log_prob, stream.feed(token))
                    if stream.stopped:
                        break
                printer.add(number, None, None, stream.finish())
                printer.finish(number)
