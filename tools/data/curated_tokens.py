"""The documents of a curation as a token store that says of each token range where its text came from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.data.text_layout import TextLayout
from scratchgrad.tools.data.token_store import TokenStore, write_token_store
from scratchgrad.tools.data.tokenized import TokenizedExample
from scratchgrad.tools.processes import map_in_processes
from scratchgrad.tools.text import read_examples
from scratchgrad.tools.text.sources.curated import CuratedSource
from scratchgrad.tools.tokenizer import Tokenizer

CHUNK = 64  # documents that a worker takes at a time


def write_curated_tokens(curated: Path, tokenizer: Tokenizer, folder: Path, workers: int) -> TokenStore:
    """Encode every document, laid out as a decoder reads it, into the store `folder`, and the tokenizer beside it.

    The store has the columns `shard` and `line` of each example: token range offsets[i] : offsets[i + 1] is the text of
    line `line`, from 0 on, of documents/`shard`/documents.jsonl.zst, whose `id` names the record of the raw source.
    FileExistsError where `folder` is there already.
    """
    layout = TextLayout(tokenizer)

    def encoded(document: tuple[int, int, str]) -> TokenizedExample:
        shard, line, text = document
        example = layout.document(text)
        return TokenizedExample(
            example.ids, example.is_target, {"shard": np.array(shard, np.int32), "line": np.array(line, np.int64)}
        )

    with write_token_store(folder, tokenizer.vocab_size) as writer:
        tokenizers.save(tokenizer, writer.folder)
        for example in map_in_processes(encoded, _documents(curated), workers, CHUNK):
            writer.append(example)
    return TokenStore(folder)


def _documents(curated: Path) -> Iterator[tuple[int, int, str]]:
    for path in CuratedSource(str(curated)).paths():
        for line, example in enumerate(read_examples(path)):
            yield int(path.parent.name), line, example.text()
