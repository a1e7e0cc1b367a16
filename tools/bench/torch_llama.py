"""Llama in PyTorch, as one would write it for speed: one product for queries, keys and values, one for gate and up, the
fused attention. The peer of training steps and of decoding; it imports nothing of ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        hidden, eps = config["hidden_size"], config["rms_norm_eps"]
        self.heads, self.groups = config["num_attention_heads"], config["num_key_value_heads"]
        self.width = hidden // self.heads
        self.input_norm, self.post_norm = nn.RMSNorm(hidden, eps=eps), nn.RMSNorm(hidden, eps=eps)
        self.qkv = nn.Linear(hidden, (self.heads + 2 * self.groups) * self.width, bias=False)
        self.o_proj = nn.Linear(hidden, hidden, bias=False)
        self.gate_up = nn.Linear(hidden, 2 * config["intermediate_size"], bias=False)
        self.down_proj = nn.Linear(config["intermediate_size"], hidden, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, time, hidden = x.shape
        stacked = self.qkv(self.input_norm(x)).view(batch, time, -1, self.width).transpose(1, 2)
        query, key, value = stacked.split([self.heads, self.groups, self.groups], dim=1)
        query, key = turn(query, cos, sin), turn(key, cos, sin)
        out = F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=self.groups != self.heads)
        x = x + self.o_proj(out.transpose(1, 2).reshape(batch, time, hidden))
        gate, up = self.gate_up(self.post_norm(x)).chunk(2, dim=-1)
        return x + self.down_proj(F.silu(gate) * up)


class Llama(nn.Module):
    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.embed = nn.Embedding(config["vocab_size"], config["hidden_size"])
        self.layers = nn.ModuleList(Block(config) for _ in range(config["num_hidden_layers"]))
        self.norm = nn.RMSNorm(config["hidden_size"], eps=config["rms_norm_eps"])
        width = config["hidden_size"] // config["num_attention_heads"]
        frequencies = config["rope_theta"] ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
        angles = torch.outer(torch.arange(config["max_position_embeddings"], dtype=torch.float64), frequencies)
        self.cos, self.sin = angles.cos().float(), angles.sin().float()

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x, self.cos[: ids.shape[1]], self.sin[: ids.shape[1]])
        return F.linear(self.norm(x), self.embed.weight)


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions: the first half of a head's width is paired with the second."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def llama(folder: Path, config: dict[str, Any]) -> nn.Module:
    """A Llama that ties its embeddings."""
    theirs = load_file(folder / "model.safetensors")
    model = Llama(config)
    state = {"embed.weight": theirs["model.embed_tokens.weight"], "norm.weight": theirs["model.norm.weight"]}
    for i in range(config["num_hidden_layers"]):
        source, ours = f"model.layers.{i}", f"layers.{i}"
        attention = [theirs[f"{source}.self_attn.{part}_proj.weight"] for part in ("q", "k", "v")]
        gate_up = [theirs[f"{source}.mlp.{part}_proj.weight"] for part in ("gate", "up")]
        state |= {
            f"{ours}.qkv.weight": torch.cat(attention),
            f"{ours}.gate_up.weight": torch.cat(gate_up),
            f"{ours}.o_proj.weight": theirs[f"{source}.self_attn.o_proj.weight"],
            f"{ours}.down_proj.weight": theirs[f"{source}.mlp.down_proj.weight"],
            f"{ours}.input_norm.weight": theirs[f"{source}.input_layernorm.weight"],
            f"{ours}.post_norm.weight": theirs[f"{source}.post_attention_layernorm.weight"],
        }
    model.load_state_dict(state)
    return model
