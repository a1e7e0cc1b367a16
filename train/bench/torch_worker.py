"""Does a bench job with PyTorch. Run as a program: torch_worker.py [--compile] FOLDER. It imports nothing of ours.

Llama is written here as one would for speed: one product for queries, keys and values, one for gate and up, the fused
attention. The other families are the classes of transformers, with the fused attention. All take the fused AdamW. bf16
is autocast's.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
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


class Logits(nn.Module):
    """A model of transformers, from ids to logits, and to the loss that balances its experts where it has them."""

    def __init__(self, model: Any, auxiliary: float = 0.0) -> None:
        super().__init__()
        self.model, self.auxiliary = model, auxiliary

    def forward(self, ids: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        if not self.auxiliary:
            logits: Tensor = self.model(ids).logits
            return logits
        out = self.model(ids, output_router_logits=True)
        return out.logits, self.auxiliary * out.aux_loss


def of_transformers(folder: Path, config: dict[str, Any]) -> nn.Module:
    import transformers

    still = {name: 0.0 for name in config if name.endswith(("pdrop", "dropout_prob"))}
    known = getattr(transformers, config["architectures"][0]).from_pretrained(
        folder, attn_implementation="sdpa", dtype=torch.float32, **still
    )
    return Logits(known.eval(), config.get("router_aux_loss_coef", 0.0) if "num_local_experts" in config else 0.0)


FAMILIES: dict[str, Callable[[Path, dict[str, Any]], nn.Module]] = {
    "llama": llama,
    "gpt2": of_transformers,
    "bert": of_transformers,
    "mixtral": of_transformers,
}


def main(folder: Path, compiles: bool) -> None:
    settings, config = (json.loads((folder / name).read_text()) for name in ("settings.json", "config.json"))
    torch.set_num_threads(settings["threads"])
    model = FAMILIES[config["model_type"]](folder, config)
    logits_of = torch.compile(model) if compiles else model
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=settings["learning_rate"], betas=(0.9, 0.95), eps=1e-8, fused=True)
    all_ids, all_targets = (torch.from_numpy(np.load(folder / f"{name}.npy")) for name in ("ids", "targets"))
    seconds, losses = [], []
    for ids, targets in zip(all_ids, all_targets, strict=True):
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=settings["precision"] == "bf16"):
            out = logits_of(ids)
            logits, auxiliary = out if isinstance(out, tuple) else (out, 0.0)
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten()) + auxiliary
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), settings["max_grad_norm"])
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"seconds": seconds[settings["warmup"] :], "losses": losses, "peak_bytes": peak_memory()}))


def peak_memory() -> int:
    """As scratchgrad.train.dry_run.peak_memory."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main(Path(sys.argv[-1]), "--compile" in sys.argv[1:-1])
