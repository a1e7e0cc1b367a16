"""The models that are measured, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shape:
    config: dict[str, Any]  # keys of a Hugging Face config.json
    batch: int  # sequences in a step
    context: int  # tokens in a sequence


def _llama(layers: int, hidden: int, heads: int, intermediate: int, vocabulary: int, context: int) -> dict[str, Any]:
    return {
        "model_type": "llama", "num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads,
        "intermediate_size": intermediate, "vocab_size": vocabulary, "max_position_embeddings": context,
        "tie_word_embeddings": True,
    }  # fmt: skip


SHAPES = {
    "stories15M": Shape(_llama(6, 288, 6, 768, 32_000, 256), batch=8, context=256),
    "toy": Shape(_llama(4, 128, 4, 352, 2_048, 256), batch=16, context=256),
    "deep": Shape(_llama(12, 288, 6, 768, 2_048, 512), batch=8, context=512),
}
