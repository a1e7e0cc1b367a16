"""What a mixture of experts costs beside the dense model of the same width: forward and backward, in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from scratchgrad import Tensor, manual_seed, models, set_threads
from scratchgrad.errors import UserError
from scratchgrad.models import AuxOutputs, Decoder, output_cross_entropy
from scratchgrad.tools.bench.shapes import Shape

SEED = 0


def bench_experts(
    shape: Shape, *, experts: int, per_token: int, threads: int, steps: int, say: Callable[[str], Any]
) -> dict[str, float]:
    """Seconds of a forward and backward pass, the median over steps; 'dense', and '<experts> experts, top <k>'.

    Each token meets `per_token` experts as wide as the dense feed-forward part, so the products alone are `per_token`
    times as many there.
    """
    set_threads(threads)
    changes: dict[str, dict[str, Any]] = {
        "dense": {},
        f"{experts} experts, top {per_token}": {"num_local_experts": experts, "num_experts_per_tok": per_token},
    }
    sides = {name: _built({**shape.config, **more}) for name, more in changes.items()}
    ids, targets = np.random.default_rng(SEED).integers(
        shape.config["vocab_size"], size=(2, shape.batch, shape.context)
    )
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for step in range(steps + 1):
        for name, model in sides.items():
            began = time.perf_counter()
            aux = AuxOutputs()
            hidden_states = model.hidden_states(Tensor(ids), aux=aux)
            loss = output_cross_entropy(model.lm_head, hidden_states, Tensor(targets))
            aux.add_to(loss, targets.size).backward()
            took = time.perf_counter() - began
            model.zero_grad()
            if step > 0:  # the first one warms up
                seconds[name].append(took)
                say(f"step {step}/{steps}  {name}: {took:.3f} s")
    return {name: statistics.median(all_of_it) for name, all_of_it in seconds.items()}


def _built(config: dict[str, Any]) -> Decoder:
    manual_seed(SEED)
    model = models.build(models.config_from_dict(config))
    if not isinstance(model, Decoder):
        raise UserError(f"experts are measured in a decoder, and this is a {model.architecture}")
    return model
