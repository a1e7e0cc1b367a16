"""Would the tests notice? Faults planted into every backward pass, one at a time; each must make a test fail.

    make mutants                             all of them, in some minutes
    python -m tests.mutants softmax norm     those of some ops

Planted are: signs flipped, terms and factors dropped, sums and differences exchanged, comparisons shifted, another axis,
forgotten reshaping and transposing, statements left out, constants changed, gradients not given. In the engine: a missing
un-broadcast, and sums that are not summed. A mutant that no test kills is a missing property, or it computes the same:
those are listed in `HARMLESS`, with the reason.
"""

from __future__ import annotations

import ast
import copy
import os
import signal
import sys
import types
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from scratchgrad import backward_pass, functional
from scratchgrad.dispatch import KERNELS
from scratchgrad.operators import OPS
from scratchgrad.testing import LAYOUTS
from scratchgrad.threads import set_threads, usable_cores
from tests.engine import test_conventions, test_kernels, test_ops
from tests.op_cases import CASES

PACKAGE = Path(functional.__file__).parent
OP_FILES = sorted(path.stem for path in (PACKAGE / "ops").glob("[a-z]*.py"))
KERNEL_FILES = ("attention", "embedding", "feed_forward", "gelu", "loss", "norm", "products", "rotary", "swiglu")
ENGINE_FUNCTIONS = ("unbroadcast", "fits", "add", "_add_sparse", "accumulate")
HELPERS = {  # functions that ops share, on the way back
    "_share", "stretching", "_axes", "_count", "_over", "_shared", "reduced", "sum_rows", "sums_by_id", "_added_at",
    "softmax_minus_target", "chunk_by_chunk", "chunk_steps", "logistic", "logistic_slope", "normal_slope", "product",
    "sum_of_rows", "by_group", "scores", "put", "write_gradients", "transposed_with_ones",
    "places_along", "_written", "_from_here_on", "_norm_of_order", "_repeated_by_counts", "_of_distributions",
    "softmax_of", "_plus_product",
}  # fmt: skip
BESIDE_THEIR_BACKWARD = {"_in_four_axes", "in_three_steps"}  # functions that stand for an op, or for a part of one
OF_THE_WAY_THERE = {"forward", "grouped", "stacked", "by_tiles"}  # inner functions that are no part of a backward
SECONDS = 120  # of a core: a mutant that loops is a mutant that is seen

# Mutants that compute the same: (function, change, what stands in its line), and why.
HARMLESS: dict[tuple[str, str, str], str] = {
    ("_over", "y + (y == 0) -> y - (y == 0)", ""): "where y is 0, so is what this is multiplied by",
    ("atan2", "square + (square == 0) -> square - (square == 0)", ""): "where the square is 0, so is what is divided",
    ("logistic", "x < 0 -> x <= 0", ""): "e^0 is 1",
    ("in_three_steps", "2 -> 3", "needs_input_grad"): "a gradient that is made though nobody asked for it is dropped",
    ("setitem", "value.ndim - part.ndim -> value.ndim", ""): "axes of length 1 in front are summed away",
    ("setitem", "value.ndim - part.ndim -> value.ndim + part.ndim", ""): "the same",
    ("_norm_of_order", "ord > 0 -> ord >= 0", ""): "it is infinite there",
    ("_norm_of_order", "0 -> 1", "if ord > 0"): "the same",
    ("cumprod", "1 -> 2", "where(zero, 1, x)"): "quotients by zeros are not taken",
    ("_of_distributions", "0 -> 1", "where(counted, targets, 0)"): "classes that do not count are masked",
    ("_of_distributions", "0 -> 1", "[..., 0] * counted"): "it is the same for all classes",
    ("_of_distributions", "total + (total == 0) -> total - (total == 0)", ""): "where nothing counts, 0 is divided",
}

Way = list[tuple[str, int | None]]  # fields, and places in them, from the root of a tree to a node


@dataclass(frozen=True)
class Mutant:
    module: str
    function: str
    line: int
    source: str  # of the line
    change: str
    tree: ast.Module

    def __str__(self) -> str:
        return f"{self.module.removeprefix('scratchgrad.')}:{self.line} {self.function}: {self.change}"


# What is planted


def replacements(node: ast.AST, parent: ast.AST) -> Iterator[ast.AST]:
    """What may stand in place of `node`."""
    if isinstance(node, ast.BinOp):
        if isinstance(node.op, ast.Add | ast.Sub):
            yield from (node.left, node.right, ast.BinOp(node.left, exchanged(node.op), node.right))
        elif isinstance(node.op, ast.Mult | ast.Div | ast.FloorDiv):
            yield node.left
        if isinstance(node.op, ast.Mult):
            yield node.right
    elif isinstance(node, ast.AugAssign):
        yield ast.Pass()
        if isinstance(node.op, ast.Add | ast.Sub):
            yield ast.AugAssign(node.target, exchanged(node.op), node.value)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        if not isinstance(node.operand, ast.Constant):
            yield node.operand
        elif not is_call(parent, "reshape"):  # which takes any negative number for -1
            yield ast.UnaryOp(ast.USub(), ast.Constant(node.operand.value + 1))
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        shifted = {ast.Gt: ast.GtE, ast.Lt: ast.LtE, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}.get(type(node.ops[0]))
        if shifted is not None:
            yield ast.Compare(node.left, [shifted()], node.comparators)
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float) and not isinstance(parent, ast.UnaryOp):
        yield ast.Constant(node.value + 1)
    elif isinstance(node, ast.keyword) and node.arg == "keepdims" and isinstance(node.value, ast.Constant):
        yield ast.keyword("keepdims", ast.Constant(not node.value.value))
    elif isinstance(node, ast.keyword) and node.arg == "axis" and isinstance(node.value, ast.Name):
        yield from (ast.keyword("axis", ast.Constant(0)), ast.keyword("axis", ast.Constant(-1)))
    elif is_call(node, "swapaxes", "transpose", "sum", "mean", "cumsum", "reshape"):
        yield node.func.value  # type: ignore[attr-defined]
    elif is_call(node, "flip", "roll", "tril", "triu", "moveaxis", "exp", "log", "sign", "cos", "sin"):
        yield node.args[0]  # type: ignore[attr-defined]
    elif is_call(node, "zeros_like"):
        yield ast.Call(ast.Attribute(node.func.value, "ones_like", ast.Load()), node.args, [])  # type: ignore[attr-defined]


def exchanged(sign: ast.operator) -> ast.operator:
    return ast.Sub() if isinstance(sign, ast.Add) else ast.Add()


def is_call(node: ast.AST, *methods: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in methods


def gradients(backward: ast.AST) -> Iterator[ast.expr]:
    """What a backward gives: the entries of the tuples that it returns."""
    returned = [n.value for n in ast.walk(backward) if isinstance(n, ast.Return)]
    for value in [backward.body] if isinstance(backward, ast.Lambda) else returned:
        if isinstance(value, ast.Tuple):
            yield from (entry for entry in value.elts if not (isinstance(entry, ast.Constant) and entry.value is None))


def negated(gradient: ast.expr) -> ast.expr:
    """-x for an array and for a function that makes one."""
    text = f"(lambda piece: (lambda: -piece()) if callable(piece) else -piece)({ast.unparse(gradient)})"
    return ast.parse(text, mode="eval").body


# Where it is planted


def nodes_below(node: ast.AST, way: Way) -> Iterator[tuple[ast.AST, ast.AST, Way]]:
    """(node, its parent, the way to it), leaving out annotations and messages."""
    for field, value in ast.iter_fields(node):
        if field not in ("annotation", "returns", "decorator_list"):
            for i, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr):  # a message is no gradient
                    here = [*way, (field, i)]
                    yield child, node, here
                    yield from nodes_below(child, here)


def with_change(tree: ast.Module, way: Way, new: ast.AST) -> ast.Module:
    twin = copy.deepcopy(tree)
    holder: Any = twin
    for field, i in way[:-1]:
        holder = getattr(holder, field) if i is None else getattr(holder, field)[i]
    field, i = way[-1]
    if i is None:
        setattr(holder, field, copy.deepcopy(new))
    else:
        getattr(holder, field)[i] = copy.deepcopy(new)
    return ast.fix_missing_locations(twin)


def backwards_of(function: ast.FunctionDef, way: Way) -> Iterator[tuple[ast.AST, Way, bool]]:
    """(part, the way to it, does it return gradients) of an op: its lambdas and inner functions."""
    for node, _, here in nodes_below(function, way):
        if isinstance(node, ast.Lambda) or (isinstance(node, ast.FunctionDef) and node.name not in OF_THE_WAY_THERE):
            yield node, here, True


def mutants_of(module: str, path: Path, engine: bool = False) -> Iterator[Mutant]:
    tree, lines = ast.parse(path.read_text()), path.read_text().split("\n")
    for function, _, way in nodes_below(tree, []):
        if not isinstance(function, ast.FunctionDef):
            continue
        is_op = any(ast.unparse(d).split("(")[0] in ("op", "kernel") for d in function.decorator_list)
        if is_op or function.name in BESIDE_THEIR_BACKWARD:
            parts = list(backwards_of(function, way))
        elif function.name in (ENGINE_FUNCTIONS if engine else HELPERS):
            parts = [(function, way, False)]
        else:
            continue
        seen = set()
        for part, here, returns_gradients in parts:
            places = [(n, new, w) for n, parent, w in nodes_below(part, here) for new in replacements(n, parent)]
            changes = [(n, f"{ast.unparse(n)} -> {ast.unparse(new)}", new, w) for n, new, w in places]
            for entry in gradients(part) if returns_gradients else ():
                to = next(w for n, _, w in nodes_below(tree, []) if n is entry)
                if not is_call(entry, "zeros_like"):
                    changes.append((entry, f"{ast.unparse(entry)} negated", negated(entry), to))
                changes.append((entry, f"{ast.unparse(entry)} not given", ast.Constant(None), to))
            for node, change, new, to in changes:
                key = (str(to), change)
                if key not in seen:
                    seen.add(key)
                    line = getattr(node, "lineno", function.lineno)
                    yield Mutant(module, function.name, line, lines[line - 1], change, with_change(tree, to, new))


def planted(names: list[str]) -> list[Mutant]:
    found = list(mutants_of("scratchgrad.backward_pass", PACKAGE / "backward_pass.py", engine=True))
    for file in OP_FILES:
        found += mutants_of(f"scratchgrad.ops.{file}", PACKAGE / "ops" / f"{file}.py")
    for file in KERNEL_FILES:
        found += mutants_of(f"scratchgrad.kernels.cpu.{file}", PACKAGE / "kernels" / "cpu" / f"{file}.py")
    return [m for m in found if (not names or is_named(m, names)) and not is_harmless(m)]


def is_harmless(mutant: Mutant) -> bool:
    return any(
        (mutant.function, mutant.change) == (function, change) and text in mutant.source
        for function, change, text in HARMLESS
    )


def is_named(mutant: Mutant, names: list[str]) -> bool:
    """By its function, or by its file: softmax, ops.softmax, kernels.cpu.norm, autograd."""
    return mutant.function in names or mutant.module.removeprefix("scratchgrad.") in names


# Whether it is seen


def put_in_place(mutant: Mutant) -> None:
    """Run the mutated module, and let every name that meant something of the old one mean that of the new one."""
    old, new = sys.modules[mutant.module], types.ModuleType(mutant.module)
    new.__file__ = old.__file__
    sys.modules[mutant.module] = new
    exec(compile(mutant.tree, str(mutant), "exec"), new.__dict__)
    twins = {id(v): getattr(new, name) for name, v in vars(old).items() if callable(v) and hasattr(new, name)}
    for name, module in list(sys.modules.items()):
        if name.startswith(("scratchgrad", "tests.")) and module is not new:
            for attribute, value in list(vars(module).items()):
                if id(value) in twins and not attribute.startswith("__"):
                    setattr(module, attribute, twins[id(value)])


def trial(mutant: Mutant) -> None:
    """Raises if a test notices the mutant."""
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    if ".kernels." in mutant.module:
        put_in_place(mutant)
        for name in test_kernels.INPUTS:
            compare_kernel(name)
        return
    for kernels in KERNELS.values():
        kernels.clear()
    if mutant.module == "scratchgrad.backward_pass":
        put_into_engine(mutant)
        names = ["add", "mul", "getitem", "where", "matmul"]
    else:
        put_in_place(mutant)
        names = [mutant.function] if mutant.function in CASES else users_of(mutant)
    for name in names:
        check(name)
    for _, op, values, gradient in test_conventions.POINTS:
        test_conventions.test_the_convention(op, values, gradient)
    for test in EXTRA_TESTS:
        test()


EXTRA_TESTS = [
    test_conventions.test_attention_of_a_query_that_sees_nothing_is_zero_and_so_are_its_gradients,
    test_conventions.test_a_loss_in_which_nothing_counts_is_zero,
    test_conventions.test_indices_that_broadcast_have_gradients_too,
]


def compare_kernel(name: str) -> None:
    fast, kept = test_kernels.run(name), {op: dict(kernels) for op, kernels in KERNELS.items()}
    for kernels in KERNELS.values():
        kernels.clear()
    slow = test_kernels.run(name)
    for op, kernels in kept.items():
        KERNELS[op].update(kernels)
    for got, want in zip(fast, slow, strict=True):
        assert np.linalg.norm(got - want) <= 2e-6 * np.linalg.norm(want)


def put_into_engine(mutant: Mutant) -> None:
    """The objects of the engine stay, since everything holds on to them; their code changes."""
    twin = types.ModuleType("mutated")
    sys.modules["mutated"] = twin
    exec(compile(mutant.tree, str(mutant), "exec"), twin.__dict__)
    owner, new = (
        (backward_pass.BackwardPass, twin.BackwardPass)
        if hasattr(backward_pass.BackwardPass, mutant.function)
        else (backward_pass, twin)
    )
    getattr(owner, mutant.function).__code__ = getattr(new, mutant.function).__code__


def users_of(mutant: Mutant) -> list[str]:
    """The ops of the files that use a helper."""
    texts = [(PACKAGE / "ops" / f"{file}.py").read_text() for file in OP_FILES]
    using = "".join(text for text in texts if mutant.function in text)
    return [name for name in CASES if f"def {name}(" in using]


def check(name: str) -> None:
    @settings(max_examples=60, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck), print_blob=False)  # fmt: skip
    @given(st.data(), st.integers(0, 2**32 - 1), st.sampled_from(LAYOUTS))
    def run(data: st.DataObject, seed: int, layout: str) -> None:
        test_ops.check_op(CASES[name], data, seed, layout)

    run()


def survivors_of(mutants: list[Mutant]) -> list[Mutant]:
    """Each is tried in a process of its own: it may loop, or break what later ones need."""
    running: dict[int, Mutant] = {}
    alive = []

    def wait_for_one() -> None:
        child, status = os.wait()
        mutant = running.pop(child)
        if status == 0:
            alive.append(mutant)
            print(f"survived  {mutant}", flush=True)

    for number, mutant in enumerate(mutants):
        if number % 100 == 0:
            print(f"{number} of {len(mutants)}: {mutant.module}", file=sys.stderr, flush=True)
        if len(running) == usable_cores():
            wait_for_one()
        child = os.fork()
        if child == 0:
            in_child(mutant)
        running[child] = mutant
    while running:
        wait_for_one()
    return alive


def in_child(mutant: Mutant) -> NoReturn:
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # a busy machine is no reason to call a mutant seen
    signal.alarm(20 * SECONDS)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    try:
        trial(mutant)
    except BaseException:
        os._exit(1)
    os._exit(0)


def main(names: list[str]) -> int:
    set_threads(1)  # a forked process has no other threads than its own
    for name in CASES:  # the tests themselves hold
        if not names or name in names:
            check(name)
    everything = planted(names)
    survivors = survivors_of(everything)
    per_op = Counter(
        "linear_cross_entropy" if m.function in ("chunk_by_chunk", "chunk_steps") else m.function for m in everything
    )
    with_gradient = [name for name, case in CASES.items() if case.has_gradient and name in OPS]
    thin = [name for name in with_gradient if per_op[name] < 2 and not names]
    dead = len(everything) - len(survivors)
    print(
        f"{len(everything)} planted, {dead} killed, {len(survivors)} survived; ops with fewer than two: {thin or 'none'}"
    )
    return 1 if survivors or thin else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
