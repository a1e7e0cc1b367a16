"""PyTorch's words where NumPy's are ours: what is taken under both, and what to write where the two differ in meaning.

NumPy's names are the documented ones; docs/from-pytorch.md has the table for people.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, NoReturn

# Options of ops: PyTorch's word -> ours, where an op has ours.
OPTIONS = {
    "dim": "axis", "keepdim": "keepdims", "dims": "axis", "shifts": "shift", "correction": "ddof", "diagonal": "k",
    "num_classes": "classes", "start_dim": "start_axis", "end_dim": "end_axis",
}  # fmt: skip
OPTIONS_OF = {
    "swapaxes": {"dim0": "axis1", "dim1": "axis2"},
    "diagonal": {"dim1": "axis1", "dim2": "axis2"},
    "transpose": {"dims": "axes"},
    "tile": {"dims": "reps"},
}

# Options that may follow the arrays without their names: their order is NumPy's and PyTorch's.
POSITIONAL = frozenset({
    "axis", "keepdims", "axis1", "axis2", "axes", "shape", "dtype", "min", "max", "k", "p", "classes", "repeats",
    "reps", "shift", "offset", "descending", "size", "step", "device", "pad_width", "value",
})  # fmt: skip

DIM_MEANS_MORE = ("max", "min", "var", "std")
UNORDERED = frozenset({"norm"})  # ops of which PyTorch's order is another

# Where PyTorch's spelling has another meaning: the words, and what to write.
PAIR = "is a pair in PyTorch; write x.{0}(axis=...) for the values and x.arg{0}(axis=...) for the indices"
BESSEL = "divides by n - 1 in PyTorch and by n in NumPy; say which: correction=1 or correction=0"
OTHER_MEANING = {
    "max": PAIR.format("max"),
    "min": PAIR.format("min"),
    "var": BESSEL,
    "std": BESSEL,
    "norm": "takes an order in PyTorch and NumPy; name both here: norm(x, ord=..., axis=...)",
    "transpose": "takes all axes, as in NumPy; swapaxes(a, b) swaps two",
}

# Names of PyTorch that are not here: what to write.
MISSING = {
    "type": "x.astype(dtype) or x.dtype", "mT": "x.swapaxes(-1, -2)", "H": "x.T",
    "expand_as": "F.broadcast_to(x, other.shape)", "view_as": "x.reshape(other.shape)",
    "type_as": "x.astype(other.dtype)",
    "split": "F.split(x, sections, axis), which takes the number of parts, as NumPy does",
    "chunk": "F.split(x, sections, axis)", "unbind": "list(x)", "select": "x[:, i]",
    "narrow": "x[:, start:start + length]", "movedim": "F.transpose(x, axes=...)",
    "index_select": "F.take(x, indices, axis=axis)",
    "repeat_interleave": "F.repeat(x, repeats, axis)", "new_zeros": "scratchgrad.zeros(...)", "nelement": "x.size",
    "new_ones": "scratchgrad.ones(...)", "bfloat16": 'x.astype("bfloat16")', "ravel": "x.flatten()",
    "is_cuda": "x.device", "cat": "F.concatenate([a, b], axis)", "amax": "x.max(axis)", "amin": "x.min(axis)",
    "addmm": "a + x @ y", "data_ptr": "x.data.ctypes.data", "true_divide": "x / y",
    "where": "F.where(condition, x, y)", "hstack": "F.concatenate([a, b], axis=1)", "vstack": "F.concatenate([a, b])",
    "permute_dims": "F.transpose(x, axes)", "log_sigmoid": "F.logsigmoid(x)",
    "is_contiguous": "x.data.flags.c_contiguous", "index_put": "F.index_put(x, values, index=indices)",
    "median": "F.median(x, axis), which halves between the middle two, as NumPy does",
    "cummax": "F.cummax(x, axis), the values alone", "cummin": "F.cummin(x, axis), the values alone",
}  # fmt: skip


# Of modules of the package, by the module: names of PyTorch that it does not have.
MISSING_IN = {
    "scratchgrad": {
        "from_numpy": "Tensor(array)", "as_tensor": "Tensor(array)", "inference_mode": "no_grad()",
        "set_grad_enabled": "no_grad()", "empty": "zeros(...)", "device": "its name: 'cpu' or 'cuda'",
        "set_num_threads": "set_threads(n)", "utils": "optim.clip_grad_norm_, or recompute",
        "float16": "np.float16", "float32": "np.float32", "float64": "np.float64", "bfloat16": '"bfloat16"',
        "int32": "np.int32", "int64": "np.int64", "long": "np.int64", "bool": "np.bool_",
    },
    "scratchgrad.nn": {
        "CrossEntropyLoss": "F.cross_entropy(logits, targets)", "MSELoss": "F.mse_loss(x, y)",
        "L1Loss": "F.l1_loss(x, y)", "NLLLoss": "F.nll_loss(log_probs, targets)", "HuberLoss": "F.huber_loss(x, y)",
        "SmoothL1Loss": "F.smooth_l1_loss(x, y)", "KLDivLoss": "F.kl_div(log_probs, targets)",
        "BCELoss": "F.binary_cross_entropy(x, y)",
        "BCEWithLogitsLoss": "F.binary_cross_entropy_with_logits(x, y)",
        "functional": "scratchgrad.functional as F", "utils": "optim.clip_grad_norm_",
        "ModuleDict": "a dict of modules", "ParameterList": "a list of parameters",
        "ParameterDict": "a dict of parameters", "Identity": "Sequential()", "GroupNorm": "F.group_norm(x, ...)",
        "Conv1d": "F.conv1d(x, ...)", "ELU": "F.elu(x)", "GLU": "F.glu(x)", "LeakyReLU": "F.leaky_relu(x)",
        "LogSoftmax": "F.log_softmax(x, axis)", "Mish": "F.mish(x)", "Softplus": "F.softplus(x)",
    },
    "scratchgrad.optim": {
        "lr_scheduler": "a schedule for lr: AdamW(params, lr=optim.cosine(...))",
    },
}  # fmt: skip


IN_PLACE = "x += y, x *= y or x[...] = y"
WRITERS = (  # of PyTorch, with "_" behind
    "add", "sub", "mul", "div", "pow", "neg", "abs", "exp", "log", "sqrt", "relu", "sigmoid", "tanh", "clamp",
    "zero", "fill", "copy", "normal", "uniform", "random", "masked_fill", "scatter", "scatter_add", "index_add",
    "index_fill", "squeeze", "unsqueeze", "transpose", "t", "detach", "round", "floor", "lerp", "addcmul",
    "addcdiv", "erfinv", "bernoulli",
)  # fmt: skip


def spellings(op: str, options: Collection[str], arrays: Collection[str] = ()) -> dict[str, str]:
    """PyTorch's words for the options of an op, and ours."""
    known = {**OPTIONS, **OPTIONS_OF.get(op, {})}
    return {theirs: ours for theirs, ours in known.items() if ours in options and theirs not in (*options, *arrays)}


def in_our_words(op: str, options: Mapping[str, Any], spelled: Mapping[str, str]) -> dict[str, Any]:
    """The options with our names; TypeError where PyTorch's mean something else here, or both are given."""
    if op in DIM_MEANS_MORE and "dim" in options and not {"correction", "ddof"} & options.keys():
        raise TypeError(f"{op}(dim=...) {OTHER_MEANING[op]}")
    words: dict[str, Any] = {}
    for name, value in options.items():
        ours = spelled.get(name, name)
        if ours in words:
            raise TypeError(f"{op}(): '{ours}' is given twice")
        words[ours] = value
    return words


def too_many(op: str, arrays: Iterable[str], options: Iterable[str], given: int) -> TypeError:
    named = ", ".join(f"{option}=" for option in options)
    hint = f"; it {OTHER_MEANING[op]}" if op in OTHER_MEANING else ""
    return TypeError(
        f"{op}() takes {', '.join(arrays)}"
        + f" and, by name, {named}" * bool(named)
        + f"; {given} arguments came{hint}"
    )


def what_to_write(owner: str, name: str) -> str:
    """The message of an AttributeError for a name that `MISSING` has, or a function that is no method."""
    if name.endswith("_"):
        return f"{owner} has no '{name}'; to change a tensor in place write {IN_PLACE}, for a leaf under no_grad()"
    written = MISSING.get(name, f"F.{name}(x), with scratchgrad.functional as F")
    return f"{owner} has no '{name}'; write {written}"


def missing_from(module: str, name: str, names: Iterable[str], functions: Collection[str] = ()) -> AttributeError:
    """For a name that a module of the package has not: what to write instead, or which of its `names` is like it.

    functions: those that stand in scratchgrad.functional.
    """
    if name in (written := MISSING_IN[module]):
        return AttributeError(f"{module} has no '{name}'; write {written[name]}")
    if name in functions:
        return AttributeError(f"{module} has no '{name}'; write F.{name}(...), with scratchgrad.functional as F")
    close = get_close_matches(name, names, n=1, cutoff=0.75)
    return AttributeError(f"{module} has no '{name}'" + (f"; did you mean '{close[0]}'?" if close else ""))


class Missing:
    """Stands in a class under a name that it does not have, so that asking for it says what to write.

    A `__getattr__` would say it, too, and make every attribute of every tensor slower.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._message = what_to_write(owner.__name__, name)

    def __get__(self, instance: object, owner: type) -> NoReturn:
        raise AttributeError(self._message)


def say_what_to_write(owner: type, functions: Iterable[str]) -> None:
    """Put a `Missing` in the class for each of these functions, and each of PyTorch's names, that it has not."""
    in_place = [f"{name}_" for name in WRITERS]
    for name in (*MISSING, *functions, *in_place):
        if not hasattr(owner, name):
            missing = Missing()
            missing.__set_name__(owner, name)
            setattr(owner, name, missing)
