"""Imports point one way. `house` reads a checkout; the tests plant every kind of fault in a small one and must see it."""

import ast
from pathlib import Path

import pytest

ROOMS = ("models", "tools", "train")
MAY_IMPORT = {
    "scratchgrad": set(),
    "models": {"scratchgrad"},
    "tools": {"scratchgrad", "models"},
    "train": {"scratchgrad", "models", "tools"},
}
ENGINE = [
    ("errors", "contexts"),
    "backend",
    ("threads", "gaussian", "random", "callers", "closures", "op_errors", "packed_weights", "batch_invariance"),
    "versions",
    ("versions", "pytorch_names"),
    "autograd",
    "checkpointed_block",
    "backward_pass",
    "promotion",
    "op_contract",
    "operators",
    "methods",
    "tensor",
    "dispatch",
    "ops",
    "functional",
    ("kernels", "parallel", "recomputation", "gradient_check", "nn", "anomaly", "profiling", "creation"),
    ("optim", "files", "testing", "drawing"),
]

TOOLS = {  # what a part of tools may import, beside itself
    "processes": set(),
    "recipes": set(),
    "text": {"recipes"},
    "runs": set(),
    "tokenizer": {"processes", "text"},
    "data": {"processes", "text", "tokenizer"},
    "curation": {"processes", "recipes", "text", "tokenizer"},
    "generation": {"text", "tokenizer", "data"},
    "loading": {"tokenizer", "data", "runs"},
}
TOOLS["conversion"] = TOOLS["evaluation"] = TOOLS["serving"] = {*TOOLS} - {"curation"}
TOOLS["reporting"] = {*TOOLS["evaluation"], "evaluation", "serving"}
TOOLS["planning"] = set()
TOOLS["commands"] = {*TOOLS}
TOOLS["bench"] = {*TOOLS}


def modules(root: Path) -> dict[str, Path]:
    """Import name -> file. A room stands at the top level and is imported from inside `scratchgrad`."""
    found = {}
    for room in ("scratchgrad", *ROOMS):
        for path in (root / room).rglob("*.py"):  # rglob does not follow the links inside scratchgrad/
            name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            found[name if room == "scratchgrad" else f"scratchgrad.{name}"] = path
    return found


def imports(name: str, path: Path) -> set[str]:
    """Every module that a file names, at any depth, relative imports resolved."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    named = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            named |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return named


def room_of(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else "scratchgrad"


def floor_of(name: str) -> int | None:
    part = ([*name.split("."), ""])[1]
    return next(
        (i for i, level in enumerate(ENGINE) if part == level or (isinstance(level, tuple) and part in level)), None
    )


def part_of(name: str) -> str | None:
    """Of a module of tools: the part that it belongs to."""
    parts = name.split(".")
    if parts[1:2] != ["tools"] or len(parts) < 3:
        return None
    return parts[2]


def faults(root: Path) -> list[str]:
    known, found = modules(root), []
    edges = {}
    for name, path in known.items():
        named = imports(name, path)
        found += [f"{name} imports a bare '{n}'" for n in named if n.split(".")[0] in ROOMS]
        edges[name] = {n for n in named if n in known and n != name and not name.startswith(n + ".")}
        for other in edges[name]:
            here, there = room_of(name), room_of(other)
            if there not in MAY_IMPORT[here] | {here}:
                found.append(f"{name} ({here}) imports {other} ({there})")
            low, high = floor_of(name), floor_of(other)
            if here == there == "scratchgrad" and low is not None and high is not None and high > low:
                found.append(f"{name} imports {other}, which stands above it")
            part, asked = part_of(name), part_of(other)
            if part and asked and part != asked and asked not in TOOLS.get(part, {*TOOLS}):
                found.append(f"{name} imports {other}, which {part} stands below or beside")
    while leaves := [name for name, out in edges.items() if not out]:
        for leaf in leaves:
            del edges[leaf]
        edges = {name: out - set(leaves) for name, out in edges.items()}
    return found + ([f"an import cycle among {sorted(edges)}"] if edges else [])


def test_this_house():
    assert faults(Path(__file__).parents[1]) == []


def test_every_part_of_the_engine_stands_on_a_floor():
    parts = {
        name.split(".")[1]
        for name in modules(Path(__file__).parents[1])
        if room_of(name) == "scratchgrad" and "." in name
    }
    assert {part for part in parts if floor_of(f"scratchgrad.{part}") is None} == set()


def test_every_part_of_tools_has_its_place():
    parts = {part_of(name) for name in modules(Path(__file__).parents[1])} - {None}
    assert parts - TOOLS.keys() == set()


def importers_of(package: str, root: Path) -> set[str]:
    """The modules outside of `package` that import it or a part of it."""

    def is_inside(name: str) -> bool:
        return name == package or name.startswith(f"{package}.")

    return {
        name for name, path in modules(root).items() if not is_inside(name) and any(map(is_inside, imports(name, path)))
    }


def test_only_the_package_itself_imports_the_kernels_and_one_file_each_cupy_and_mpi4py():
    root = Path(__file__).parents[1]
    assert importers_of("scratchgrad.kernels", root) == {"scratchgrad"}
    assert importers_of("cupy", root) == {"scratchgrad.backend"}
    assert importers_of("mpi4py", root) == {"scratchgrad.parallel.mpi"}


@pytest.mark.parametrize("line", [
    "import scratchgrad.kernels", "import scratchgrad.kernels.cpu.loss", "from scratchgrad.kernels.cpu import loss",
    "from scratchgrad.kernels.cpu.loss import TILE", "from scratchgrad import kernels", "from ..kernels.cpu import loss",
    "def f():\n    from ..kernels import cpu",
])  # fmt: skip
def test_an_import_of_a_kernel_from_elsewhere_is_seen(tmp_path, line):
    good = {"__init__": "from scratchgrad.kernels import cpu", "kernels/cpu/loss": "from scratchgrad.kernels.cpu import norm",
            "ops/loss": "import scratchgrad.kernels_of_another_kind"}  # fmt: skip
    for name, text in {**good, "ops/one": line}.items():
        path = tmp_path / "scratchgrad" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    assert importers_of("scratchgrad.kernels", tmp_path) == {"scratchgrad", "scratchgrad.ops.one"}


@pytest.mark.parametrize(("where", "line"), [
    ("models/a.py", "from scratchgrad.train import loop"), ("models/a.py", "from ..tools.text import a"),
    ("tools/text/a.py", "import scratchgrad.train.loop"), ("scratchgrad/tensor.py", "from scratchgrad.models import a"),
    ("scratchgrad/tensor.py", "def f():\n    from scratchgrad.ops import one"), ("scratchgrad/backend.py", "from . import tensor"),
    ("train/loop.py", "from models import a"), ("scratchgrad/nn.py", "from scratchgrad.files import f"),
    ("models/a.py", "from scratchgrad.models import b"),
    ("tools/text/a.py", "from scratchgrad.tools.tokenizer import x"), ("tools/text/a.py", "from scratchgrad.tools import runs"),
    ("tools/tokenizer.py", "from scratchgrad.tools.data import x"), ("tools/tokenizer.py", "from .data import x"),
    ("tools/data.py", "def f():\n    from scratchgrad.tools.generation import x"), ("tools/data.py", "import scratchgrad.tools.runs"),
    ("tools/generation.py", "from scratchgrad.tools.evaluation import x"),
    ("tools/evaluation.py", "from scratchgrad.tools.serving import x"), ("tools/serving.py", "from scratchgrad.tools import reporting"),
    ("tools/runs.py", "from scratchgrad.tools.commands import x"),
])  # fmt: skip
def test_a_planted_fault_is_seen(tmp_path, where, line):
    good = {
        "scratchgrad/backend.py": "", "scratchgrad/tensor.py": "from scratchgrad.backend import x", "scratchgrad/files.py": "",
        "scratchgrad/ops/__init__.py": "", "scratchgrad/ops/one.py": "from scratchgrad.tensor import x", "scratchgrad/nn.py": "",
        "models/a.py": "from scratchgrad.nn import x", "models/b.py": "from scratchgrad.models.a import x",
        "tools/text/a.py": "from scratchgrad.models.b import x", "train/loop.py": "from scratchgrad.tools.text.a import x",
        "tools/tokenizer.py": "from scratchgrad.tools.text.a import x", "tools/data.py": "from scratchgrad.tools.tokenizer import x",
        "tools/generation.py": "from scratchgrad.tools.data import x", "tools/evaluation.py": "from scratchgrad.tools.generation import x",
        "tools/serving.py": "from scratchgrad.tools.generation import x", "tools/runs.py": "",
        "tools/reporting.py": "from scratchgrad.tools import evaluation, serving", "tools/commands.py": "from . import reporting, runs",
    }  # fmt: skip
    for name, text in good.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert faults(tmp_path) == []
    with (tmp_path / where).open("a") as file:
        file.write(line + "\n")
    assert faults(tmp_path) != []
