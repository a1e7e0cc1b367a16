"""Writes tokens with PyTorch eager, greedily, with a cache that is made once.

Run as a program: torch_decode_worker.py FOLDER PROMPTS TOKENS THREADS.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from scratchgrad.tools.bench.torch_llama import Llama, llama, turn

PROMPT = [1, 5, 9]


def next_tokens(model: Llama, caches: list[Tensor], ids: Tensor, past: int) -> Tensor:
    """ids (text, time) follow `past` tokens that are in the caches (2, text, head, capacity, width) of the layers."""
    batch, time_ = ids.shape
    end = past + time_
    x = model.embed(ids)
    cos, sin = model.cos[past:end], model.sin[past:end]
    for layer, cache in zip(model.layers, caches, strict=True):
        stacked = layer.qkv(layer.input_norm(x)).view(batch, time_, -1, layer.width).transpose(1, 2)
        query, key, value = stacked.split([layer.heads, layer.groups, layer.groups], dim=1)
        cache[0, :, :, past:end], cache[1, :, :, past:end] = turn(key, cos, sin), value
        keys, values = cache[:, :, :, :end]
        out = F.scaled_dot_product_attention(turn(query, cos, sin), keys, values, is_causal=time_ > 1)
        x = x + layer.o_proj(out.transpose(1, 2).reshape(batch, time_, -1))
        gate, up = layer.gate_up(layer.post_norm(x)).chunk(2, dim=-1)
        x = x + layer.down_proj(F.silu(gate) * up)
    return F.linear(model.norm(x[:, -1]), model.embed.weight).argmax(dim=-1, keepdim=True)


def main(folder: Path, prompts: int, tokens: int, threads: int) -> None:
    torch.set_num_threads(threads)
    model = llama(folder, json.loads((folder / "config.json").read_text()))
    texts = torch.tensor([[*PROMPT, number] for number in range(prompts)])
    capacity = texts.shape[1] + tokens
    for _ in range(2):  # the first warms up
        caches = [torch.empty(2, prompts, la.groups, capacity, la.width) for la in model.layers]
        ids = next_tokens(model, caches, texts, 0)
        began = time.perf_counter()
        for past in range(texts.shape[1], texts.shape[1] + tokens - 1):
            ids = next_tokens(model, caches, ids, past)
        seconds = time.perf_counter() - began
    print(json.dumps({"tokens_per_s": prompts * (tokens - 1) / seconds}))


if __name__ == "__main__":
    with torch.inference_mode():
        main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
