"""Small examples of what other implementations compute, kept in fixtures/ so that tests need not have them installed.

    python -m tests.models.make_fixtures            all of them
    python -m tests.models.make_fixtures gpt2

One function for each: it makes an example with the other implementation (PyTorch, transformers) at hand. The tests call
the same functions where that is installed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.models.parity import Example


def gpt2(*, is_tied: bool = True) -> Example:
    """A GPT-2 of transformers."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=30, n_positions=16, n_embd=8, n_layer=2, n_head=2, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        tie_word_embeddings=is_tied,
    )  # fmt: skip
    return causal(GPT2LMHeadModel(config))


def llama(*, is_tied: bool = True) -> Example:
    """A Llama of transformers, with two heads of queries for each head of keys."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=30, max_position_embeddings=16, hidden_size=16, intermediate_size=20, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=is_tied,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
    )  # fmt: skip
    return causal(LlamaForCausalLM(config))


def causal(model: Any) -> Example:
    """What a language model of transformers says of two texts, some of whose tokens need not be told."""
    import torch

    torch.manual_seed(0)
    parameters = dict(model.named_parameters())
    for name, parameter in parameters.items():
        is_scale = "norm" in name or (".ln_" in name and name.endswith("weight"))
        torch.nn.init.normal_(parameter, mean=1.0 if is_scale else 0.0, std=0.3)  # parts that would be missed
    rng = np.random.default_rng(0)
    ids, targets = rng.integers(0, 30, (2, 11)), rng.integers(0, 30, (2, 11))
    targets[0, 6:] = -100
    logits = model(input_ids=torch.tensor(ids)).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(targets).flatten())
    loss.backward()
    return Example(
        {**model.config.to_dict(), "architectures": [type(model).__name__]},
        {name: parameter.detach().numpy() for name, parameter in parameters.items()},
        {"ids": ids, "targets": targets},
        logits.detach().numpy(),
        loss.item(),
        {name: parameter.grad.numpy() for name, parameter in parameters.items()},
    )


FAMILIES: dict[str, Callable[[], Example]] = {
    "gpt2": gpt2,
    "gpt2_untied": lambda: gpt2(is_tied=False),
    "llama": llama,
    "llama_untied": lambda: llama(is_tied=False),
}


def main(names: list[str]) -> None:
    for name in names or FAMILIES:
        FAMILIES[name]().save(name)


if __name__ == "__main__":
    main(sys.argv[1:])
