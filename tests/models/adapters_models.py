"""Small models of every family, and the adapters that are put beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from scratchgrad import Tensor, manual_seed, models
from scratchgrad.models import Model
from scratchgrad.models.adapters import adapter_parameters

LLAMA = {
    "model_type": "llama", "vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 48, "max_position_embeddings": 64,
}  # fmt: skip
GPT2 = {"model_type": "gpt2", "vocab_size": 61, "n_embd": 32, "n_layer": 2, "n_head": 4, "max_position_embeddings": 64}
BERT = {
    "model_type": "bert", "vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 48, "max_position_embeddings": 64,
}  # fmt: skip
T5 = {
    "model_type": "t5", "vocab_size": 61, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4,
    "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False,
}  # fmt: skip
TRANSFORMER = {
    "model_type": "transformer", "vocab_size": 61, "d_model": 32, "d_ff": 48, "num_layers": 2, "num_heads": 4,
    "max_position_embeddings": 64,
}  # fmt: skip
MIXTRAL = {**LLAMA, "model_type": "mixtral", "num_local_experts": 4}

FAMILIES: dict[str, tuple[dict[str, Any], str | None]] = {
    "llama": (LLAMA, None),
    "gpt2": (GPT2, None),
    "bert": (BERT, None),
    "bert-classifier": (BERT, "BertForSequenceClassification"),
    "t5": (T5, None),
    "t5-classifier": ({**T5, "tie_word_embeddings": True}, "T5ForSequenceClassification"),
    "transformer": (TRANSFORMER, None),
    "mixtral": (MIXTRAL, None),
    "llama-classifier": ({**LLAMA, "pad_token_id": 0}, "LlamaForSequenceClassification"),
}


def build(name: str, seed: int = 0, **changes: Any) -> Model:
    config, architecture = FAMILIES[name]
    manual_seed(seed)
    architectures = None if architecture is None else [architecture]
    values = {**config, **changes} | ({} if architectures is None else {"architectures": architectures})
    return models.build(models.config_from_dict(values), architectures=architectures).eval()


def ids_of(model: Model, rows: int = 2, time: int = 9) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(1, model.config.vocab_size, (rows, time))


def logits(model: Model) -> np.ndarray[Any, Any]:
    """What the model makes of two texts: all of its outputs in one row."""
    ids = Tensor(ids_of(model))
    out = model(ids, ids) if isinstance(model, models.EncoderDecoder) else model(ids)
    parts = out if isinstance(out, tuple) else (out,)
    return np.concatenate([part.numpy().ravel() for part in parts])


def disturb(model: Model, seed: int = 1, std: float = 0.1) -> Model:
    """Give what is trained other values, as training does."""
    rng = np.random.default_rng(seed)
    for _, parameter in adapter_parameters(model):
        parameter.data = (parameter.data + std * rng.standard_normal(parameter.shape)).astype(parameter.dtype)
    return model


def bits(state: Mapping[str, Any]) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in state.items()}
