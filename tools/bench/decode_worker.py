"""Writes tokens with scratchgrad, greedily, and measures what the model's bare matrix-vector products take beside it.

Run as a program: decode_worker.py FOLDER PROMPTS TOKENS THREADS. FOLDER holds the model. Prints a Writing as JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from scratchgrad import models, set_threads
from scratchgrad.models import Decoder
from scratchgrad.threads import parallel_map
from scratchgrad.tools.generation import BatchSampler, Request, SamplingParams

PROMPT = [1, 5, 9]  # any ids do: greedy decoding costs the same whatever is written
REPEATS = 20
Values = np.ndarray[Any, Any]


def main(folder: Path, prompts: int, tokens: int, threads: int) -> None:
    set_threads(threads)
    model = models.load(folder)
    assert isinstance(model, Decoder)
    texts = [[*PROMPT, number] for number in range(prompts)]
    for _ in range(2):  # the first warms up
        sampler = BatchSampler(model)
        for text in texts:
            sampler.add(Request(text, SamplingParams(temperature=0, max_tokens=tokens)))
        steps = iter(sampler)
        next(steps)  # reads the prompts
        began = time.perf_counter()
        written = sum(len(step) for step in steps)
        seconds = time.perf_counter() - began
    matrices = [p.data for p in model.parameters() if p.ndim == 2]
    if not model.config.tie_word_embeddings:
        matrices = [m for m in matrices if m is not model.embed_tokens.weight.data]  # is looked up, not multiplied
    print(json.dumps({"tokens_per_s": written / seconds, "bare_per_s": bare_products(matrices, threads)}))


def bare_products(matrices: list[Values], threads: int) -> float:
    """How often a second all matrices can be multiplied by a vector, each thread doing its share of the rows of all."""
    vectors = {m.shape[1]: np.ones(m.shape[1], np.float32) for m in matrices}
    shares = [[(np.array_split(m, threads)[i], vectors[m.shape[1]]) for m in matrices] for i in range(threads)]

    def work(share: list[tuple[Values, Values]]) -> None:
        for part, vector in share:
            np.matmul(part, vector)

    def measure(_: int) -> float:  # in `parallel_map`, so that BLAS has one thread in each of these
        seconds = []
        with ThreadPoolExecutor(threads) as pool:
            for _ in range(REPEATS):
                began = time.perf_counter()
                list(pool.map(work, shares))
                seconds.append(time.perf_counter() - began)
        return statistics.median(seconds)

    return 1 / parallel_map(measure, [0])[0]


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
