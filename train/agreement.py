"""Is everybody talking of the same thing? A run of its data and tokenizer, and the ranks of one job of what they do."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

import scratchgrad
from scratchgrad.errors import UserError
from scratchgrad.files.manifest import NAME as MANIFEST
from scratchgrad.parallel import Communicator
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.data import Prepared
from scratchgrad.train.checkpoint import read_trainer_state
from scratchgrad.train.recipe import Recipe
from scratchgrad.train.recipe_files import to_yaml

CODE = (".py", ".cu", ".ll")


def data_fingerprint(prepared: Prepared) -> str:
    """sha256 of all tokens that the sources gave, by the manifests of their stores."""
    whole = hashlib.sha256()
    for store in (*prepared.train, *prepared.validation):
        whole.update((store.folder / MANIFEST).read_bytes())
    return whole.hexdigest()


def code_fingerprint() -> str:
    """sha256 of the source files of this package."""
    root = Path(scratchgrad.__file__).parent
    whole = hashlib.sha256()
    paths = (Path(folder) / name for folder, _, names in os.walk(root, followlinks=True) for name in names)
    for path in sorted(path for path in paths if path.suffix in CODE):
        whole.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return whole.hexdigest()


def check_same_data(run: Path, checkpoint: Path, prepared: Prepared) -> None:
    """UserError where the run's text gives another tokenizer or other tokens than those that it was trained on.

    A checkpoint that cannot be read is no matter of this: loading it tells the damage.
    """
    try:
        progress, tokenizer = read_trainer_state(checkpoint), tokenizers.load(checkpoint)
    except (UserError, OSError, ValueError):
        return
    if tokenizer.fingerprint != prepared.tokenizer.fingerprint:
        changed = "the text has changed, so that it gives another tokenizer than that"
    elif progress.data is not None and progress.data != data_fingerprint(prepared):
        changed = "the text has changed; it is not that"
    else:
        return
    raise UserError(
        f"{changed} which '{run}' was trained with. Bring the old text back, or go on with the new one and the run's "
        f"own tokenizer: scratchgrad-train --resume {run} --new-data"
    )


def check_ranks_agree(recipe: Recipe, prepared: Prepared, comm: Communicator) -> None:
    """UserError on every rank where one has another recipe, tokenizer, data or code than rank 0."""
    if comm.size == 1:
        return
    hashes = {
        "recipe": hashlib.sha256(to_yaml(recipe).encode()).hexdigest(),
        "model to start from": recipe.train.init_sha256 or "00" * 32,
        "tokenizer": prepared.tokenizer.fingerprint,
        "data": data_fingerprint(prepared),
        "code": code_fingerprint(),
    }
    mine = np.array([list(bytes.fromhex(value)) for value in hashes.values()], np.uint8)
    all_hashes = comm.all_gather(mine)
    differ = (all_hashes != all_hashes[0]).any(axis=2)  # (ranks, hashes)
    if differ.any():
        rank = int(np.flatnonzero(differ.any(axis=1))[0])
        what = " and ".join(name for name, differs in zip(hashes, differ[rank], strict=True) if differs)
        raise UserError(
            f"rank {rank} has another {what} than rank 0 ({differ.any(axis=1).sum()} of {comm.size} ranks differ): "
            "give all of them the same files and arguments"
        )
