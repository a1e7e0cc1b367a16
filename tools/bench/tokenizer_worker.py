"""Trains a tokenizer, or encodes with one, by one system. Run as a program: tokenizer_worker.py SYSTEM TASK FOLDER."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WARM_REPEATS = 3  # of encoding, after a first time that fills caches

Documents = list[str]


def ours_train(documents: Documents, folder: Path) -> Callable[[], Any]:
    from scratchgrad.tools.tokenizer import train_bpe

    settings = json.loads((folder / "settings.json").read_text())
    return lambda: train_bpe(documents, settings["vocab_size"])


def ours_merges(tokenizer: Any) -> list[list[str]]:
    from scratchgrad.tools.tokenizer.byte_alphabet import written

    return [[written(tokenizer.tokens[left]), written(tokenizer.tokens[right])] for left, right, _ in tokenizer.merges]


def ours_encode(documents: Documents, folder: Path) -> Callable[[], Any]:
    from scratchgrad.tools import tokenizer as tokenizers

    tokenizer = tokenizers.load(folder / "tokenizer.json")
    return lambda: [tokenizer.encode(document) for document in documents]


def hugging_face_train(documents: Documents, folder: Path) -> Callable[[], Any]:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    from scratchgrad.tools.tokenizer import PATTERNS

    settings = json.loads((folder / "settings.json").read_text())

    def train() -> Any:
        tokenizer = Tokenizer(models.BPE())
        split = pre_tokenizers.Split(Regex(PATTERNS["gpt4"].published), "isolated")
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
        trainer = trainers.BpeTrainer(
            vocab_size=settings["vocab_size"], special_tokens=list(settings["special"]), show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )  # fmt: skip
        tokenizer.train_from_iterator(documents, trainer)
        return tokenizer

    return train


def hugging_face_merges(tokenizer: Any) -> list[list[str]]:
    merges: list[list[str]] = json.loads(tokenizer.to_str())["model"]["merges"]
    return merges


def hugging_face_encode(documents: Documents, folder: Path) -> Callable[[], Any]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return lambda: [encoding.ids for encoding in tokenizer.encode_batch_fast(documents)]


def tiktoken_encode(documents: Documents, folder: Path) -> Callable[[], Any]:
    import tiktoken

    from scratchgrad.tools.tokenizer import PATTERNS

    settings = json.loads((folder / "settings.json").read_text())
    # Not by tiktoken's own loader: it keeps a copy of what it once read from a path of this name.
    lines = (line.split() for line in (folder / "vocabulary.tiktoken").read_bytes().splitlines())
    encoding = tiktoken.Encoding(
        "bench", pat_str=PATTERNS["gpt4"].possessive, special_tokens=settings["special"],
        mergeable_ranks={base64.b64decode(token): int(rank) for token, rank in lines},
    )  # fmt: skip
    return lambda: [encoding.encode_ordinary(document) for document in documents]


WORK: dict[tuple[str, str], tuple[Callable[[Documents, Path], Callable[[], Any]], Callable[[Any], Any]]] = {
    ("scratchgrad", "train"): (ours_train, ours_merges),
    ("tokenizers", "train"): (hugging_face_train, hugging_face_merges),
    ("scratchgrad", "encode"): (ours_encode, list),
    ("tokenizers", "encode"): (hugging_face_encode, list),
    ("tiktoken", "encode"): (tiktoken_encode, list),
}


def main(system: str, task: str, folder: Path) -> None:
    make, describe = WORK[system, task]
    work = make(json.loads((folder / "documents.json").read_text()), folder)
    seconds = []
    for _ in range(1 if task == "train" else 1 + WARM_REPEATS):
        began = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - began)
    seen = hashlib.sha256(json.dumps(describe(result)).encode()).hexdigest()
    print(json.dumps({"seconds": seconds[-WARM_REPEATS:], "result": seen}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
