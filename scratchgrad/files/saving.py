"""What PyTorch's `save` and `load` are for: the state of one's own modules, of an optimizer, and how far one is."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scratchgrad.backend import to_numpy
from scratchgrad.errors import UserError, quoted
from scratchgrad.files.atomic import atomic_file
from scratchgrad.files.json_files import parse_json
from scratchgrad.files.tensors import NAMES, map_tensors, read_metadata, write_tensors
from scratchgrad.tensor import Tensor, raw

TREE = "scratchgrad.tree"  # the name under which a file's metadata tells how its arrays hang together
DEEPEST = 100
Json = Any


def save(state: Mapping[str, Any], path: Path | str) -> None:
    """Write a dict into a safetensors file, which is whole or as it was before.

    Its values are arrays or tensors, texts, numbers, booleans, None, and dicts and lists of these, as in
    `{"model": net.state_dict(), "optimizer": optimizer.state_dict(), "step": 3}`. Arrays are named by their keys with
    dots between; a state_dict alone is a file as anyone's tool reads it. TypeError for another value, which is named;
    ValueError where two arrays would have one name; OSError where there is no room or no permission.
    """
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    tree = _tree(state, "", arrays)
    is_flat = isinstance(tree, dict) and all(entry == {"array": name} for name, entry in tree.get("dict", {}).items())
    with atomic_file(Path(path)) as file:
        write_tensors(Path(file.name), arrays, None if is_flat else {TREE: json.dumps(tree)})


def load(path: Path | str) -> dict[str, Any]:
    """What `save` wrote: NumPy arrays of one's own, on the CPU, where tensors or arrays were, and lists for tuples.

    Of any other safetensors file, its arrays by name. UserError where the file is not there, or damaged.
    """
    path = Path(path)
    arrays, text = map_tensors(path), read_metadata(path).get(TREE)
    if text is None:
        return {name: np.array(array) for name, array in arrays.items()}
    try:
        state = _built(parse_json(text.encode()), arrays)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(f"'{path}' does not tell how its arrays hang together: it was not written by save()") from None
    if not isinstance(state, dict):
        raise UserError(f"'{path}' holds a {type(state).__name__} where a dict is needed")
    return state


def _tree(value: Any, name: str, arrays: dict[str, np.ndarray[Any, Any]], depth: int = 0) -> Json:
    """What JSON can hold of a value: arrays go into `arrays`, and their names into the tree."""
    if depth > DEEPEST:
        raise ValueError(f"save(): {quoted(name)} lies more than {DEEPEST} levels deep; does it hold itself?")
    if isinstance(value, Mapping):
        if stray := next((key for key in value if not isinstance(key, str)), None):
            raise TypeError(f"save(): {quoted(name or 'the state')} has the key {quoted(stray)}; keys are texts")
        return {"dict": {key: _tree(entry, _below(name, key), arrays, depth + 1) for key, entry in value.items()}}
    if isinstance(value, list | tuple):
        return {"list": [_tree(entry, _below(name, str(i)), arrays, depth + 1) for i, entry in enumerate(value)]}
    if isinstance(value, float) and not math.isfinite(value):  # for which JSON has no word
        return {"float": str(value)}
    if value is None or type(value) in (str, bool, int, float):
        return {"value": value}
    if isinstance(value, Tensor | np.ndarray | np.generic) or hasattr(value, "__cuda_array_interface__"):
        array = np.asarray(to_numpy(raw(value)))
        if array.dtype in NAMES:
            if name in arrays:
                raise ValueError(f"save(): two arrays would have the name {quoted(name)}; rename one of the keys")
            arrays[name] = array
            return {"array": name}
    what = f"an array of {value.dtype}" if hasattr(value, "dtype") else f"a {type(value).__name__}"
    raise TypeError(
        f"save(): {quoted(name or 'the state')} is {what}; a file holds arrays, texts, numbers, dicts and lists: of a "
        "module or an optimizer give its state_dict()"
    )


def _built(tree: Json, arrays: Mapping[str, np.ndarray[Any, Any]]) -> Any:
    ((kind, value),) = tree.items()
    match kind:
        case "dict":
            return {key: _built(entry, arrays) for key, entry in value.items()}
        case "list":
            return [_built(entry, arrays) for entry in value]
        case "array":
            return np.array(arrays[value])
        case "float":
            return float(value)
        case "value":
            return value
    raise ValueError(kind)


def _below(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key
