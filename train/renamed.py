"""Keys and values of recipes that have other names now: an old recipe is refused with the name that it should use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scratchgrad.errors import UserError

KEYS = {
    "train.shards": "train.microbatches",
    "data.held_out": "data.validation",
    "model.label_smoothing": "train.label_smoothing",
}
VALUES = {
    "train.objective": {
        "causal": "causal_lm",
        "masked": "masked_lm",
        "masked_next_sentence": "masked_lm_next_sentence",
        "spans": "span_corruption",
        "pairs": "seq2seq",
    }
}


def refuse_old_names(recipe: Mapping[str, Mapping[str, Any]], where: str) -> None:
    """UserError that names every old key or value in the sections of a recipe, and what it is called now.

    where: stands before each sentence, as the recipe's name.
    """
    values = {f"{section}.{key}": value for section, keys in recipe.items() for key, value in keys.items()}
    errors = [f"{old} is now called {new}" for old, new in KEYS.items() if old in values]
    for key, renamed in VALUES.items():
        if isinstance(old := values.get(key), str) and old in renamed:
            errors.append(f"{key} = {old} is now called {renamed[old]}")
    if errors:
        raise UserError(f"{where}: {'; '.join(errors)}")
