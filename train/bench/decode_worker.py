"""Writes tokens with scratchgrad, greedily, and measures what the model's bare matrix-vector products take beside it.

Run as a program: decode_worker.py FOLDER PROMPTS TOKENS THREADS. FOLDER holds the model. Prints JSON: tokens_per_s of
all prompts together, bare_per_s (products of all weights with one vector, that many times a second), and the ids.
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
from scratchgrad.threads import spread
from scratchgrad.tools.generation import Generation
from scratchgrad.tools.sampling import Sampling

PROMPT = [1, 5, 9]  # any ids do: greedy decoding costs the same whatever is written
REPEATS = 20


def main(folder: Path, prompts: int, tokens: int, threads: int) -> None:
    set_threads(threads)
    model = models.load(folder)
    texts = [[*PROMPT, number] for number in range(prompts)]
    for _ in range(2):  # the first warms up
        rounds = iter(Generation(model, texts, tokens, Sampling(temperature=0)))
        ids = [[token.id for token in next(rounds)]]  # reads the prompts
        began = time.perf_counter()
        ids += [[token.id for token in step] for step in rounds]
        seconds = time.perf_counter() - began
    matrices = [p.data for p in model.parameters() if p.ndim == 2]
    if not model.config.tie_word_embeddings:
        matrices.remove(model.embed_tokens.weight.data)  # is looked up, not multiplied
    figures = {"tokens_per_s": prompts * (tokens - 1) / seconds, "bare_per_s": _bare(matrices, threads), "ids": ids}
    print(json.dumps(figures))


def _bare(matrices: list[np.ndarray[Any, Any]], threads: int) -> float:
    """How often a second all matrices can be multiplied by a vector, each thread doing its share of the rows of all."""
    vectors = {matrix.shape[1]: np.ones(matrix.shape[1], np.float32) for matrix in matrices}
    shares = [[(part, vectors[part.shape[1]]) for matrix in matrices for part in np.array_split(matrix, threads)[i : i + 1]]
              for i in range(threads)]  # fmt: skip

    def work(share: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]) -> None:
        for part, vector in share:
            part @ vector  # noqa: B018  (the time is what is wanted)

    def measure(_: int) -> float:  # inside `spread` BLAS has one thread, and so has each of ours
        seconds = []
        with ThreadPoolExecutor(threads) as pool:
            for _ in range(REPEATS):
                began = time.perf_counter()
                list(pool.map(work, shares))
                seconds.append(time.perf_counter() - began)
        return statistics.median(seconds)

    return 1 / spread(measure, [0])[0]


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
