"""Does a bench job with PyTorch. Run as a program: torch_worker.py [--compile] FOLDER. It does not import scratchgrad.

Llama is tools/bench/torch_llama.py. The other families are the classes of transformers, with the fused attention. All
take the fused AdamW. bf16 is autocast's.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

TORCH_LLAMA = Path(__file__).parents[2] / "tools" / "bench" / "torch_llama.py"


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


def llama(folder: Path, config: dict[str, Any]) -> nn.Module:
    """Loaded by its path: an import from the package would bring our allocator's settings and memory into the peer."""
    spec = spec_from_file_location("torch_llama", TORCH_LLAMA)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    model: nn.Module = module.llama(folder, config)
    return model


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
