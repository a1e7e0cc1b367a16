"""Masks of a text, filled by a model that looks at both sides of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scratchgrad import Tensor, no_grad
from scratchgrad.backend import to_device, to_numpy
from scratchgrad.errors import UserError
from scratchgrad.models import BertForMaskedLM
from scratchgrad.tools.data import TextLayout
from scratchgrad.tools.data.text_layout import MASK
from scratchgrad.tools.generation.model import evaluating
from scratchgrad.tools.generation.sampling import log_probabilities
from scratchgrad.tools.tokenizer import Tokenizer


class Candidate(NamedTuple):
    text: str
    probability: float


def fill_masks(
    model: BertForMaskedLM, tokenizer: Tokenizer, text: str, count: int = 1
) -> tuple[str, list[list[Candidate]]]:
    """The text with the likeliest token in place of each [MASK], and the `count` likeliest tokens for each.

    Each mask is predicted with all others in place. Special tokens are no candidates. UserError where the text has no
    mask or is longer than the context, or the tokenizer lacks a token that BERT needs.
    """
    layout = TextLayout(tokenizer)
    ids = np.array(layout.masked(text))
    places, context = np.flatnonzero(ids == layout.special(MASK)), model.config.max_position_embeddings
    if not len(places):
        raise UserError(f"there is nothing to fill in: the prompt has no {MASK}, as in --prompt 'the {MASK} sat'")
    if len(ids) > context:
        raise UserError(f"the prompt has {len(ids)} tokens, and the model's context holds {context}; shorten it")
    with evaluating(model), no_grad():
        hidden_states = model.hidden_states(Tensor(to_device(ids[None], model.device)))
        logits = to_numpy(model.masked_head(hidden_states).data)[0, places]
    log_probs = log_probabilities(logits)
    log_probs[:, list(tokenizer.special_tokens.values())] = -np.inf
    best = np.argsort(-log_probs, axis=1, kind="stable")[:, :count]
    ids[places] = best[:, 0]
    candidates = [
        [Candidate(tokenizer.decode([token]), float(np.exp(row[token]))) for token in tokens]
        for row, tokens in zip(log_probs, best, strict=True)
    ]
    return tokenizer.decode(ids[1:-1].tolist()), candidates
