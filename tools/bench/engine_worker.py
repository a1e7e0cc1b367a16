"""A chain of small additions, forward and backward, by one system. Run as a program: engine_worker.py SYSTEM LENGTH."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

WIDTH = 8  # elements: next to no arithmetic, so that what is measured is the engine
WARMUP, REPEATS = 20, 200


def ours(length: int) -> Callable[[], None]:
    import numpy as np

    from scratchgrad import Tensor

    def once() -> None:
        total = x = Tensor(np.ones(WIDTH, np.float32), requires_grad=True)
        for _ in range(length):
            total = total + x
        total.backward(np.ones(WIDTH, np.float32))

    return once


def torch(length: int) -> Callable[[], None]:
    import torch

    torch.set_num_threads(1)

    def once() -> None:
        total = x = torch.ones(WIDTH, requires_grad=True)
        for _ in range(length):
            total = total + x
        total.backward(torch.ones(WIDTH))

    return once


if __name__ == "__main__":
    chain = {"scratchgrad": ours, "torch": torch}[sys.argv[1]](int(sys.argv[2]))
    seconds = []
    for _ in range(WARMUP + REPEATS):
        began = time.perf_counter()
        chain()
        seconds.append(time.perf_counter() - began)
    print(json.dumps(seconds[WARMUP:]))
