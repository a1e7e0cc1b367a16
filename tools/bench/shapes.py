"""The models that are measured, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shape:
    config: dict[str, Any]  # keys of a Hugging Face config.json
    batch: int  # sequences in a step
    context: int  # tokens in a sequence
    asked: float = 1.0  # the share of tokens that are targets; below 1, they stand anywhere, as in BERT's objective


def _llama(layers: int, hidden: int, heads: int, intermediate: int, vocabulary: int, context: int) -> dict[str, Any]:
    return {
        "model_type": "llama", "num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads,
        "intermediate_size": intermediate, "vocab_size": vocabulary, "max_position_embeddings": context,
        "tie_word_embeddings": True,
    }  # fmt: skip


_TOY = _llama(4, 128, 4, 352, 2_048, 256)
_GPT2 = {
    "model_type": "gpt2", "n_layer": 12, "n_embd": 768, "n_head": 12, "vocab_size": 50_257, "n_positions": 1_024,
}  # fmt: skip
_BERT = {
    "model_type": "bert", "architectures": ["BertForMaskedLM"], "num_hidden_layers": 12, "hidden_size": 768,
    "num_attention_heads": 12, "intermediate_size": 3_072, "vocab_size": 30_522, "max_position_embeddings": 512,
}  # fmt: skip
_MOE = {
    **_TOY, "model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2, "rms_norm_eps": 1e-6,
    "router_aux_loss_coef": 0.01,
}  # fmt: skip

SHAPES = {
    "stories15M": Shape(_llama(6, 288, 6, 768, 32_000, 256), batch=8, context=256),
    "toy": Shape(_TOY, batch=16, context=256),
    "deep": Shape(_llama(12, 288, 6, 768, 2_048, 512), batch=8, context=512),
    "gpt2": Shape(_GPT2, batch=4, context=64),
    "gpt2-long": Shape(_GPT2, batch=1, context=1_024),
    "bert-base": Shape(_BERT, batch=8, context=128, asked=0.15),
    "moe": Shape(_MOE, batch=16, context=256),
}
