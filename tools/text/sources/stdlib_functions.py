"""Instructions made from the functions of the standard library: what does one do, and how is it called."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scratchgrad.tools.text.example import Example
from scratchgrad.tools.text.raw_file import OnSkipped
from scratchgrad.tools.text.source import Source
from scratchgrad.tools.text.sources.stdlib import StdlibSource

LONGEST = 200  # characters of an answer: one line


@dataclass(frozen=True)
class StdlibFunctions(Source):
    """Two items for each documented public function, by the first line of its docstring: what it does, and its line.

    They are chat messages, as OpenAI has them: [{"role": "user", "content": ...}, {"role": "assistant", ...}].
    """

    fields = ("messages",)

    def paths(self) -> list[Path]:
        return StdlibSource().paths()

    def examples(self, fields: Sequence[str] = ("messages",)) -> Iterator[Example]:
        for path in self.paths():
            yield from self.read(path, fields)

    def read(
        self, path: Path, fields: Sequence[str] = ("messages",), skipped: OnSkipped | None = None
    ) -> Iterator[Example]:
        for document in StdlibSource().read(path, ("text",), skipped):
            module = document.name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            for name, signature, summary in _functions(document.text(), module):
                asked = {
                    "what": (f"What does the function {name} do?", summary),
                    "how": (f"Write the signature of the function {name}.", signature),
                }
                for kind, (question, answer) in asked.items():
                    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
                    yield Example(f"{document.name}:{name}:{kind}", {"messages": messages})


def _functions(text: str, module: str) -> Iterator[tuple[str, str, str]]:
    """Of each documented public function and method its full name, its signature, and what it does, in their order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # of escapes in the library's own strings
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            return
    classes = [(f"{module}.{node.name}", node.body) for node in tree.body if isinstance(node, ast.ClassDef)]
    seen = set()
    for scope, body in [(module, tree.body), *classes]:
        for node in body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
                continue
            name, docstring = f"{scope}.{node.name}", ast.get_docstring(node) or ""
            summary, signature = docstring.partition("\n")[0].strip(), f"def {node.name}({ast.unparse(node.args)})"
            if summary and name not in seen and max(len(summary), len(signature)) <= LONGEST:
                seen.add(name)
                yield name, signature, summary
