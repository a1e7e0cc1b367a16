"""The texts that scratchgrad-sample is asked for: written, several at once, and handed to the printer."""

from __future__ import annotations

from collections.abc import Sequence

from scratchgrad.models import Decoder
from scratchgrad.tools.beam_search import beam_search
from scratchgrad.tools.commands.printing import Printer, Written
from scratchgrad.tools.generation import Generation, Writer, check_prompt
from scratchgrad.tools.loading import LanguageModel
from scratchgrad.tools.sampling import Sampling
from scratchgrad.tools.streaming import TextStream


class Writing:
    """`samples` texts for each prompt, at most `max_tokens` long, each up to the first of `stops`.

    batch_size: texts that are written at once. UserError where a prompt does not fit, before anything is printed.
    """

    def __init__(
        self,
        model: Writer,
        loaded: LanguageModel,
        prompts: Sequence[str],
        samples: int,
        *,
        max_tokens: int,
        stops: Sequence[str],
        batch_size: int,
        **printing: bool,
    ) -> None:
        self._model, self._loaded = model, loaded
        self._samples, self._max_tokens, self._batch_size = samples, max_tokens, batch_size
        self._ids = [loaded.prompt_ids(prompt) for prompt in prompts]
        for ids in self._ids:
            check_prompt(model, ids)
        self._texts = [Written(prompt, sample) for prompt in prompts for sample in range(samples)]
        self._streams = [TextStream(loaded.tokenizer, stops) for _ in self._texts]
        self._printer = Printer(loaded.tokenizer, self._texts, echoes=isinstance(model, Decoder), **printing)

    def draw(self, sampling: Sampling) -> None:
        """Token by token, each printed as soon as its text is certain."""
        for first in range(0, len(self._texts), self._batch_size):
            batch = range(first, min(first + self._batch_size, len(self._texts)))
            generation = Generation(
                self._model,
                [self._ids[number // self._samples] for number in batch],
                self._max_tokens,
                sampling,
                samples=[self._texts[number].sample for number in batch],
                ends=self._loaded.ends,
                log_probabilities=self._printer.needs_log_probs,
            )
            live = set(batch)
            for tokens in generation:
                for token in tokens:
                    if self._add(first + token.text, token.id, token.log_probability):
                        generation.end(token.text)
                for number in sorted(live - {first + token.text for token in tokens}):
                    self._finish(number)
                    live.remove(number)
            for number in sorted(live):
                self._finish(number)

    def search(self, beams: int, length_penalty: float) -> None:
        """The likeliest texts, the best first. A stop string cuts what was found."""
        prompts = max(1, self._batch_size // beams)
        for first in range(0, len(self._ids), prompts):
            batch = self._ids[first : first + prompts]
            searched = beam_search(
                self._model, batch, self._max_tokens, beams, length_penalty=length_penalty, ends=self._loaded.ends
            )
            for place, found in enumerate(searched, start=first):
                for sample, hypothesis in enumerate(found[: self._samples]):
                    number = place * self._samples + sample
                    self._texts[number].score = hypothesis.score
                    for token, log_probability in zip(hypothesis.ids, hypothesis.log_probabilities, strict=True):
                        if self._add(number, token, log_probability):
                            break
                    self._finish(number)

    def _add(self, number: int, token: int, log_probability: float | None) -> bool:
        """A text's next token; whether a stop string ends it there."""
        text, stream = self._texts[number], self._streams[number]
        text.ids.append(token)
        if log_probability is not None:
            text.log_probs.append(log_probability)
        if piece := stream.feed(token):
            self._printer.add(number, piece)
        return stream.stopped

    def _finish(self, number: int) -> None:
        if piece := self._streams[number].finish():
            self._printer.add(number, piece)
        self._printer.finish(number)
