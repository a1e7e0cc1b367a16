"""Tiny models of every family that writes, with weights so large that texts are no drone."""

from __future__ import annotations

from functools import cache

from scratchgrad import manual_seed, models

CONTEXT = 250
CONFIGS = {
    "llama": {
        "model_type": "llama", "vocab_size": 97, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 6,
        "num_key_value_heads": 2, "intermediate_size": 96, "max_position_embeddings": CONTEXT,
    },
    "gpt2": {"model_type": "gpt2", "vocab_size": 83, "n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT},
    "mixtral": {
        "model_type": "mixtral", "vocab_size": 71, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 56, "max_position_embeddings": CONTEXT, "num_local_experts": 5,
    },
    "t5": {
        "model_type": "t5", "vocab_size": 61, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4,
        "max_position_embeddings": CONTEXT, "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20,
        "tie_word_embeddings": False,
    },
    "transformer": {
        "model_type": "transformer", "vocab_size": 61, "d_model": 32, "d_ff": 48, "num_layers": 2, "num_heads": 4,
        "max_position_embeddings": CONTEXT,
    },
}  # fmt: skip


@cache
def tiny(family: str) -> models.Model:
    manual_seed(3)
    model = models.build(models.config_from_dict(CONFIGS[family])).eval()
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            parameter.data *= 1.5 if family == "transformer" else 3
    return model
