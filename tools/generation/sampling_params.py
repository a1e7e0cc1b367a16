"""How one text is to be written: what a request says beside its prompt."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from scratchgrad.errors import UserError

HIGHEST_TEMPERATURE = 2.0


@dataclass(frozen=True)
class SamplingParams:
    """How tokens are chosen, and where the text ends. What is asked for applies in this order, which is Hugging Face's:

    1. repetition_penalty r: the logit of a token that the text has already becomes logit / r, or logit * r where it is
       negative (Keskar et al. 2019, "CTRL", section 4.1; for negative logits as Hugging Face has it).
    2. temperature t: p = softmax(logits / t). 0 takes the likeliest token, and what follows does not apply.
    3. top_k keeps the k likeliest tokens.
    4. top_p keeps the fewest of the likeliest that together have p of what is left (Holtzman et al. 2020, "The curious
       case of neural text degeneration", section 3.1).
    5. min_p keeps the tokens at least m times as likely as the likeliest (Nguyen et al. 2024, "Turning up the heat").

    What is kept is drawn from in proportion. Of equally likely tokens, those of lower ids are kept first; the likeliest
    is always kept.

    max_tokens: None for as many as the context holds. stop_token_ids: tokens that end the text and do not belong to it.
    stop: strings that do. logprobs: None tells no log-probabilities; n tells that of each token, and the n likeliest
    tokens with theirs: by the model alone, before anything of the above. UserError where a value is out of its range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0
    max_tokens: int | None = None
    stop_token_ids: Collection[int] = frozenset()
    stop: Collection[str] = ()
    logprobs: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= HIGHEST_TEMPERATURE:
            raise UserError(f"temperature {self.temperature:g} is outside 0 (greedy) to {HIGHEST_TEMPERATURE:g}")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top-k {self.top_k} keeps no token; it is at least 1")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top-p {self.top_p:g} is outside the range above 0 up to 1")
        if not 0 <= self.min_p <= 1:
            raise UserError(f"min-p {self.min_p:g} is outside 0 (keeps all) to 1 (keeps the likeliest)")
        if not 0 < self.repetition_penalty < float("inf"):
            raise UserError(
                f"repetition-penalty {self.repetition_penalty:g} is not a number above 0; 1 changes nothing"
            )
        if not 0 <= self.seed < 2**64:
            raise UserError(f"seed {self.seed} is outside 0 to 2**64 - 1")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise UserError(f"max-tokens {self.max_tokens} leaves nothing to write; it is at least 1")
        if "" in self.stop:
            raise UserError("stop needs a text that is not empty")
        if self.logprobs is not None and self.logprobs < 0:
            raise UserError(f"logprobs {self.logprobs} is not a number of tokens from 0 on")
