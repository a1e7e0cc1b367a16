"""Would the tests notice? Faults planted into every backward pass, one at a time; each must make a test fail.

    make mutants            all of them, in some minutes
    python -m tests.mutants softmax norm     those of some ops

Planted are: signs flipped, terms and factors dropped, sums and differences exchanged, comparisons shifted, another axis,
forgotten reshaping and transposing, constants changed, gradients not given. In the engine: a missing un-broadcast and
sums that are not summed. A mutant that no test kills is a missing property, or changes nothing: those are listed in
`HARMLESS`, with the reason.
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

from scratchgrad import autograd, functional
from scratchgrad.ops import __all__ as OP_FILES
from scratchgrad.tensor import KERNELS, OPS
from scratchgrad.testing import LAYOUTS
from scratchgrad.threads import set_threads, usable_cores
from tests.engine import test_conventions, test_kernels, test_ops
from tests.op_cases import CASES

PACKAGE = Path(functional.__file__).parent
KERNEL_FILES = ("attention", "loss", "norm", "products", "rotary", "swiglu")
ENGINE_FUNCTIONS = ("unbroadcast", "add", "_add_part", "accumulate")
SECONDS = 120  # a mutant that loops is a mutant that is seen


@dataclass(frozen=True)
class Mutant:
    module: str
    function: str  # at the top level of the module, or a method
    line: int
    what: str
    tree: ast.Module

    def __str__(self) -> str:
        return f"{self.module.removeprefix('scratchgrad.')}:{self.line} {self.function}: {self.what}"


# A mutant that computes the same: (function, what), and why.
HARMLESS: dict[tuple[str, str], str] = {}


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What may stand in place of `node`, and what that is called."""
    text = ast.unparse(node)
    if isinstance(node, ast.BinOp):
        if isinstance(node.op, ast.Add | ast.Sub):
            yield f"{text} -> {ast.unparse(node.left)}", node.left
            yield f"{text} -> {ast.unparse(node.right)}", node.right
            other = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
            swapped = ast.BinOp(node.left, other, node.right)
            yield f"{text} -> {ast.unparse(swapped)}", swapped
        elif isinstance(node.op, ast.Mult | ast.Div | ast.FloorDiv):
            yield f"{text} -> {ast.unparse(node.left)}", node.left
        if isinstance(node.op, ast.Mult):
            yield f"{text} -> {ast.unparse(node.right)}", node.right
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
        yield f"{text} -> {ast.unparse(node.operand)}", node.operand
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        opposite = {ast.Gt: ast.GtE, ast.Lt: ast.LtE, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}.get(type(node.ops[0]))
        if opposite is not None:
            changed = ast.Compare(node.left, [opposite()], node.comparators)
            yield f"{text} -> {ast.unparse(changed)}", changed
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield f"{text} -> {node.value + 1}", ast.Constant(node.value + 1)
    elif isinstance(node, ast.keyword) and node.arg == "keepdims" and isinstance(node.value, ast.Constant):
        yield f"{text} -> keepdims={not node.value.value}", ast.keyword("keepdims", ast.Constant(not node.value.value))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr in ("swapaxes", "transpose", "sum", "mean", "cumsum", "reshape"):
            yield f"{text} -> {ast.unparse(node.func.value)}", node.func.value
        elif node.func.attr in ("flip", "roll", "tril", "triu", "moveaxis", "exp", "log", "sign", "cos", "sin"):
            yield f"{text} -> {ast.unparse(node.args[0])}", node.args[0]


def pieces(backward: ast.AST) -> Iterator[tuple[ast.Tuple, int]]:
    """The gradients that a backward gives: the entries of the tuples that it returns."""
    if isinstance(backward, ast.Lambda):
        returned = [backward.body]
    else:
        returned = [n.value for n in ast.walk(backward) if isinstance(n, ast.Return) and n.value is not None]
    for value in returned:
        if isinstance(value, ast.Tuple):
            for i, entry in enumerate(value.elts):
                if not (isinstance(entry, ast.Constant) and entry.value is None):
                    yield value, i


def replaced(tree: ast.Module, path: list[tuple[str, int | None]], new: ast.AST) -> ast.Module:
    twin = copy.deepcopy(tree)
    holder: Any = twin
    for field, i in path[:-1]:
        holder = getattr(holder, field) if i is None else getattr(holder, field)[i]
    field, i = path[-1]
    if i is None:
        setattr(holder, field, copy.deepcopy(new))
    else:
        getattr(holder, field)[i] = copy.deepcopy(new)
    return ast.fix_missing_locations(twin)


def with_paths(
    node: ast.AST, path: list[tuple[str, int | None]]
) -> Iterator[tuple[ast.AST, list[tuple[str, int | None]]]]:
    for field, value in ast.iter_fields(node):
        for i, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST):
                here = [*path, (field, i)]
                yield child, here
                yield from with_paths(child, here)


def mutants_of(module: str, path: Path, wanted: tuple[str, ...] | None = None) -> Iterator[Mutant]:
    """Mutants of everything that runs on the way back: lambdas and inner functions of ops, and helpers as a whole."""
    tree = ast.parse(path.read_text())
    for function, at in with_paths(tree, []):
        if not isinstance(function, ast.FunctionDef) or len(at) > (1 if wanted is None else 2):
            continue
        is_op = any("op" in ast.unparse(d) or "kernel" in ast.unparse(d) for d in function.decorator_list)
        if wanted is not None and function.name not in wanted:
            continue
        if wanted is None and not is_op and not helps_backward(function.name):
            continue
        seen = set()
        for inner, way in with_paths(function, at) if is_op else [(function, at)]:
            if is_op and not isinstance(inner, ast.Lambda | ast.FunctionDef):
                continue
            if isinstance(inner, ast.FunctionDef) and inner.name in ("forward", "grouped", "stacked"):
                continue  # of the way there
            for node, place in with_paths(inner, way):
                if is_annotation(place[len(way) :]):
                    continue
                for what, new in changes(node):
                    key = (getattr(node, "lineno", 0), getattr(node, "col_offset", 0), what)
                    if key not in seen:
                        seen.add(key)
                        yield Mutant(
                            module,
                            function.name,
                            getattr(node, "lineno", function.lineno),
                            what,
                            replaced(tree, place, new),
                        )
            for value, i in pieces(inner):
                entry = value.elts[i]
                place = next(p for n, p in with_paths(tree, []) if n is entry)
                body = entry.body if isinstance(entry, ast.Lambda) else entry
                if (
                    isinstance(body, ast.Name)
                    and body.id not in ("grad",)
                    and not isinstance(entry, ast.Lambda)
                    and inner is not function
                ):
                    flipped: ast.AST = negated_promise(body)
                else:
                    negative = ast.UnaryOp(ast.USub(), body)
                    flipped = ast.Lambda(entry.args, negative) if isinstance(entry, ast.Lambda) else negative
                for what, new in ((f"gradient {i} negated", flipped), (f"gradient {i} not given", ast.Constant(None))):
                    key = (entry.lineno, entry.col_offset, what)
                    if is_op and key not in seen:
                        seen.add(key)
                        yield Mutant(module, function.name, entry.lineno, what, replaced(tree, place, new))


def negated_promise(name: ast.Name) -> ast.expr:
    """-x for an array and for a function that makes one."""
    return ast.parse(f"(lambda piece: -(piece() if callable(piece) else piece))({name.id})", mode="eval").body


def is_annotation(steps: list[tuple[str, int | None]]) -> bool:
    return any(field in ("returns", "annotation", "decorator_list") for field, _ in steps)


def helps_backward(name: str) -> bool:
    return name in {
        "_share", "_zeros", "stretching", "_axes", "_count", "_over", "_shared", "reduced", "sum_rows", "_scattered",
        "softmax_minus_target", "chunk_by_chunk", "logistic", "product",
    }  # fmt: skip


def planted(names: list[str]) -> list[Mutant]:
    found = list(mutants_of("scratchgrad.autograd", PACKAGE / "autograd.py", ENGINE_FUNCTIONS))
    for file in OP_FILES:
        found += mutants_of(f"scratchgrad.ops.{file}", PACKAGE / "ops" / f"{file}.py")
    for file in KERNEL_FILES:
        found += mutants_of(f"scratchgrad.kernels.cpu.{file}", PACKAGE / "kernels" / "cpu" / f"{file}.py")
    return [m for m in found if (not names or m.function in names) and (m.function, m.what) not in HARMLESS]


def put_in_place(mutant: Mutant) -> None:
    """Run the mutated module and let every name that meant something of the old one mean that of the new one."""
    old = sys.modules[mutant.module]
    new = types.ModuleType(mutant.module)
    new.__file__ = old.__file__
    sys.modules[mutant.module] = new
    exec(compile(mutant.tree, str(mutant), "exec"), new.__dict__)
    twins = {
        id(value): getattr(new, name) for name, value in vars(old).items() if callable(value) and hasattr(new, name)
    }
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
            fast = test_kernels.run(name)
            kept, KERNELS[name] = dict(KERNELS[name]), KERNELS[name]
            KERNELS[name].clear()
            slow = test_kernels.run(name)
            KERNELS[name].update(kept)
            for got, want in zip(fast, slow, strict=True):
                assert np.linalg.norm(got - want) <= 2e-6 * np.linalg.norm(want)
        return
    for kernels in KERNELS.values():
        kernels.clear()
    if mutant.module == "scratchgrad.autograd":
        twin = types.ModuleType("mutated")
        exec(compile(mutant.tree, str(mutant), "exec"), twin.__dict__)
        for name in ENGINE_FUNCTIONS:
            if hasattr(twin.Walk, name):
                setattr(autograd.Walk, name, getattr(twin.Walk, name))
            else:
                getattr(autograd, name).__code__ = getattr(twin, name).__code__
        names = ["add", "mul", "getitem", "where", "matmul"]
    else:
        put_in_place(mutant)
        names = [mutant.function] if mutant.function in CASES else users_of(mutant)
    for name in names:
        check(name)
    for _, op, values, gradient in test_conventions.POINTS:
        test_conventions.test_the_convention(op, values, gradient)
    test_conventions.test_attention_of_a_query_that_sees_nothing_is_zero_and_so_are_its_gradients()
    test_conventions.test_a_loss_in_which_nothing_counts_is_zero()


def users_of(mutant: Mutant) -> list[str]:
    """The ops of the files that use a helper."""
    using = [f for f in OP_FILES if mutant.function in (PACKAGE / "ops" / f"{f}.py").read_text()]
    texts = "".join((PACKAGE / "ops" / f"{file}.py").read_text() for file in using)
    return [name for name in CASES if f"def {name}(" in texts]


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

    for mutant in mutants:
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
    signal.alarm(SECONDS)
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
    per_op = Counter(m.function for m in everything)
    with_gradient = [name for name, case in CASES.items() if case.has_gradient and name in OPS]
    thin = [name for name in with_gradient if per_op[name] < 2 and not names]
    print(
        f"{len(everything)} planted, {len(everything) - len(survivors)} killed, {len(survivors)} survived; fewer than two in: {thin or 'none'}"
    )
    return 1 if survivors or thin else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
